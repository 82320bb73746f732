"""`python -m banger.daemon`: the daemon's process.

Started detached by a client (`client.start`), or in the foreground by `banger daemon run`. With
`--ready-fd N` the daemon reports its start to the parent by one JSON line on that descriptor:
`{"ready": true}`, or `{"error": {...}}` as on the wire.

Changes process state: log handlers, and the state listed in `daemon.ownstate`. VMs outlive the
daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable

from banger.api import wire
from banger.daemon.lifecycle import AlreadyRuns, OpenHandlers, daemon_lock, run_daemon
from banger.daemon.logs import start_logging
from banger.daemon.ownstate import take_own_state
from banger.engine.state.settings import SettingsInForce
from banger.errors import BangerError
from banger.host.files import ensure_private_dir
from banger.host.refusals import explain_refusal, require_socket_path
from banger.layout import layout_from_environment
from banger.reports import report_bug


def main(open_handlers: OpenHandlers, *, ready_fd: int | None = None) -> int:
    """Run a daemon to its end and return the exit status."""
    tell = _teller(ready_fd)
    layout = layout_from_environment(os.environ)
    take_own_state()
    try:
        # The longest socket path of all: refuse now a path that would fail later.
        require_socket_path(os.fspath(layout.vm_control_socket("0" * 12)))
        settings = SettingsInForce(layout.config_file, os.environ)
        ensure_private_dir(layout.daemon_log.parent)
        level = settings().log_level
        start_logging(layout.daemon_log, level=level, foreground=ready_fd is None)
        with daemon_lock(layout):
            asyncio.run(
                run_daemon(
                    layout,
                    settings,
                    open_handlers=open_handlers,
                    ready=lambda: tell({"ready": True}),
                )
            )
    except AlreadyRuns as error:
        tell({"ready": True})
        return 0 if ready_fd is not None else _fail(error, tell)
    except BangerError as error:
        return _fail(error, tell)
    except Exception as error:  # noqa: BLE001 - the process's own boundary
        if isinstance(error, (OSError, MemoryError)) and (refusal := explain_refusal(error)):
            return _fail(refusal, tell)
        what = "The daemon"
        bug = report_bug(error, reports=layout.reports, what=what, name=f"daemon-{os.getpid()}")
        return _fail(bug, tell)
    return 0


def _teller(ready_fd: int | None) -> Callable[[wire.Document], None]:
    """Return a function that reports the start's outcome to the parent; only once."""
    waiting = [] if ready_fd is None else [ready_fd]

    def tell(outcome: wire.Document) -> None:
        # The parent may have given up meanwhile, which must not end the daemon.
        with contextlib.suppress(BrokenPipeError):
            while waiting:
                with os.fdopen(waiting.pop(), "w") as pipe:
                    pipe.write(json.dumps(outcome) + "\n")

    return tell


def _fail(error: BangerError, tell: Callable[[wire.Document], None]) -> int:
    tell({"error": wire.error_to_wire(error)})
    # The disk may be full; the report to the parent is enough.
    with contextlib.suppress(OSError):
        sys.stderr.write(f"banger: {error.message}\n")
    return error.exit_code


def _ready_fd(arguments: list[str]) -> int | None:
    match arguments:
        case []:
            return None
        case ["--ready-fd", number] if number.isdecimal():
            return int(number)
        case _:
            raise SystemExit("usage: python -m banger.daemon [--ready-fd N]")


if __name__ == "__main__":
    from banger.daemon.app import open_handlers

    sys.exit(main(open_handlers, ready_fd=_ready_fd(sys.argv[1:])))
