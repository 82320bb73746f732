"""Start the egress proxy of a VM in its jail; for the daemon.

If we die before the proxy is in a record, the back end ends, and the proxy with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from msgspec import Struct

from banger.host import programs
from banger.host.files import memory_file
from banger.host.identity import ProcessIdentity, is_alive
from banger.network.egress.control import PROXY_DEADLINE_S, control_socket
from banger.network.egress.process import abandon
from banger.network.user.argv import plan_egress_proxy, plan_proxy_jail, plan_sockets
from banger.network.user.backend import Backend, died_early
from banger.network.user.jailed import spawn_jailed
from banger.network.user.proxy.view import PACKAGES, find_python, list_shown

PROGRAM = Path(__file__).with_name("namespace.py")


class Proxy(Struct, frozen=True):
    """A proxy that was started."""

    process: ProcessIdentity
    control: str
    """Path of its socket."""
    monitor: ProcessIdentity | None = None
    """Its jail's; None: an older banger started it, without a jail."""

    @property
    def processes(self) -> tuple[ProcessIdentity, ...]:
        """The proxy and its jail's monitor."""
        return (self.process,) if self.monitor is None else (self.process, self.monitor)


async def start_proxy(backend: Backend, control: Path, log_file: Path) -> Proxy:
    """Start the proxy of a back end that has a namespace of its own; it answers when it is ready.

    Raises:
        HostNotReady: its jail could not be set up.
        ToolFailed: the back end's namespace cannot be entered.
        VmmFailed: it does not start, or the back end has ended.
    """
    bwrap = programs.find_tool("bwrap") or "bwrap"  # the back end has it, too
    sockets, to = socket.socketpair()
    with contextlib.ExitStack() as ours, sockets, to, control_socket(control) as listener:
        try:
            inside = os.pidfd_open(backend.process.pid)
            ours.callback(os.close, inside)
            users = os.open(f"/proc/{backend.process.pid}/ns/user", os.O_RDONLY)
            ours.callback(os.close, users)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise died_early(log_file) from error
        if not is_alive(backend.process):  # the descriptors are of that very process
            raise died_early(log_file)
        numbers = {"sockets": sockets.fileno(), "inside": inside, "control": listener.fileno()}
        empty = ours.enter_context(memory_file(b""))
        jail = plan_proxy_jail(
            bwrap,
            users=users,
            shown=list_shown(),
            variables={"PYTHONPATH": PACKAGES},
            empty=empty,
        )
        monitor, process = await spawn_jailed(
            [*jail, *plan_egress_proxy(find_python(), **numbers, label=log_file)],
            (*numbers.values(), users, empty),
            log_file,
        )
        try:
            await _hand_sockets(inside, to.fileno())
        except BaseException:
            await asyncio.shield(abandon(monitor))
            raise
    return Proxy(process, os.fspath(control), monitor)


async def _hand_sockets(inside: int, to: int) -> None:
    """Leave sockets of the back end's namespace to the proxy, while that starts."""
    argv = plan_sockets(find_python(), PROGRAM, inside=inside, to=to)
    await programs.run(argv, deadline_s=PROXY_DEADLINE_S, pass_fds=(inside, to))
