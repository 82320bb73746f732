"""banger: one-command development sandboxes on microVMs.

Importing this package has no effects. The command is `banger.cli`, the daemon
`banger.daemon`; `docs/architecture.md` describes the packages. Programs use the names below
(`banger.sdk`, `docs/sdk.md`), which are imported on use: every command imports this module.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger import errors
    from banger.sdk.aio.client import AsyncClient
    from banger.sdk.aio.process import AsyncProcess
    from banger.sdk.aio.sessions import AsyncSession
    from banger.sdk.aio.vm import AsyncVm
    from banger.sdk.command import CompletedProcess
    from banger.sdk.options import Change, Event
    from banger.sdk.sync.client import Client
    from banger.sdk.sync.process import Process
    from banger.sdk.sync.sessions import Session
    from banger.sdk.sync.vm import Vm

__all__ = [
    "AsyncClient",
    "AsyncProcess",
    "AsyncSession",
    "AsyncVm",
    "Change",
    "Client",
    "CompletedProcess",
    "Event",
    "Process",
    "Session",
    "Vm",
    "errors",
]

_HOMES = {
    "AsyncClient": "aio.client",
    "AsyncProcess": "aio.process",
    "AsyncSession": "aio.sessions",
    "AsyncVm": "aio.vm",
    "Change": "options",
    "Client": "sync.client",
    "CompletedProcess": "command",
    "Event": "options",
    "Process": "sync.process",
    "Session": "sync.sessions",
    "Vm": "sync.vm",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "errors":
        return import_module("banger.errors")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"banger.sdk.{_HOMES[name]}"), name)
