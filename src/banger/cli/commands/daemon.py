"""`daemon`: run, stop and inspect the daemon's process."""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import Namespace
from collections.abc import Iterator

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.values import line_count
from banger.cli.terminal.output import format_age, format_json
from banger.errors import DaemonSilent, DaemonUnreachable, NotFound
from banger.sizes import format_size

LINES = 50


def _configure_status(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _status(arguments: Namespace, context: Context) -> int:
    with context.client(autostart=False) as client:
        status = client.call("daemon.status")
    if arguments.json:
        context.out(format_json(status))
        return 0
    rows = {
        "pid": status["pid"],
        "version": status["version"],
        "socket": status["socket"],
        "up": format_age(status["uptime_s"]),
        "VMs": status["vms"],
        "memory": format_size(round(status["resident_mib"])),
    }
    for name, value in rows.items():
        context.out(f"{name:<9}{value}")
    return 0


def _configure_nothing(_: Parser) -> None:
    """Add no options: these commands have none."""


def _run(_: Namespace, __: Context) -> int:
    from banger.daemon.__main__ import main
    from banger.daemon.app import open_handlers

    return main(open_handlers)


def _stop(_: Namespace, context: Context) -> int:
    if not _end_daemon(context):
        context.say("The daemon is not running.")
    return 0


def _end_daemon(context: Context) -> bool:
    """Stop the daemon and wait for its exit; return False if no daemon runs."""
    with context.client(autostart=False) as client:
        try:
            status = client.call("daemon.stop")
        except DaemonSilent:
            raise
        except DaemonUnreachable:
            return False
    _wait_gone(int(status["pid"]))
    return True


def _kill(pid: int, context: Context) -> None:
    """Kill the process if that process is still the daemon (hazard B2)."""
    import signal

    from banger.host.lockholder import is_held, read_holder

    with _process(pid) as fd:
        # A pidfd never refers to another process; the lock proves that this one is the daemon.
        layout = context.layout
        if fd is not None and is_held(layout) and read_holder(layout)[0] == pid:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            _wait_ended(fd)


def _wait_gone(pid: int) -> None:
    """Wait until a process has ended."""
    with _process(pid) as fd:
        if fd is not None:
            _wait_ended(fd)


@contextlib.contextmanager
def _process(pid: int) -> Iterator[int | None]:
    """Yield a pidfd; None if there is no such process."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _wait_ended(fd: int) -> None:
    """Wait for a process to end, at most 60 s: a stopping daemon has a deadline of its own."""
    import select

    poller = select.poll()
    poller.register(fd, select.POLLIN)
    poller.poll(60_000)


def _restart(_: Namespace, context: Context) -> int:
    try:
        _end_daemon(context)
    except DaemonSilent as error:
        # VMs outlive the daemon; the next daemon finishes or undoes operations in progress.
        context.say(f"{error.message} Killing it.")
        _kill(error.pid, context)
    with context.client() as client:
        status = client.call("daemon.status")
    context.say(f"The daemon is running: pid {status['pid']}, version {status['version']}.")
    return 0


def _configure_logs(parser: Parser) -> None:
    parser.add_argument(
        "-f", "--follow", action="store_true", help="follow the log: print new output as it appears"
    )
    parser.add_argument(
        "-n",
        "--tail",
        metavar="N",
        type=line_count,
        default=LINES,
        help=f"only the last N lines (default: {LINES})",
    )


def _logs(arguments: Namespace, context: Context) -> int:
    """Print the end of the log, read from the file: a broken daemon may not answer."""
    path = context.layout.daemon_log
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError as error:
        raise NotFound(f"There is no log yet: {path}.", hint="banger daemon status") from error
    with file:
        for line in file.readlines()[-arguments.tail or sys.maxsize :]:
            sys.stdout.buffer.write(line)
        sys.stdout.flush()
        if arguments.follow:
            _follow(path.as_posix(), file.tell())
    return 0


def _follow(path: str, offset: int) -> None:
    """Print new lines until interrupted; after rotation, read the new file from its start."""
    import time

    while True:
        size = os.stat(path).st_size
        if size != offset:
            with open(path, "rb") as file:
                file.seek(offset if size > offset else 0)
                sys.stdout.buffer.write(file.read())
                offset = file.tell()
            sys.stdout.flush()
        time.sleep(0.2)


COMMANDS = {
    "daemon status": (_configure_status, _status),
    "daemon run": (_configure_nothing, _run),
    "daemon stop": (_configure_nothing, _stop),
    "daemon restart": (_configure_nothing, _restart),
    "daemon logs": (_configure_logs, _logs),
}
