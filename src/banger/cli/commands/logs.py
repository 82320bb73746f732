"""`vm logs`, `vm session logs`."""

from __future__ import annotations

import contextlib
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.app.values import line_count, past_time_s
from banger.cli.options.sessions import add_session, open_attachment
from banger.cli.terminal.guest_text import GuestOutput, copy_out

_TEXT = (
    "Without a SESSION, prints the VM's console or its VMM's log. On a terminal,\n"
    "control sequences in the log are left out."
)
_SESSION_TEXT = (
    "Prints the output that is kept, the newest 4 MiB. --follow continues until the\n"
    "session ends, over restarts of the daemon, and loses nothing. On a terminal,\n"
    "control sequences are left out."
)


def _add_options(parser: Parser) -> None:
    parser.add_argument(
        "-f", "--follow", action="store_true", help="follow the log: print new output as it appears"
    )
    parser.add_argument(
        "-n", "--tail", metavar="N", type=line_count, help="start with the last N lines"
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        type=past_time_s,
        help="only a session's output since then: 10m (ago), or 2026-11-29T12:00",
    )


def _configure(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    parser.add_argument("name", nargs="?", metavar="SESSION", help="name of a session of the VM")
    _add_options(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--console",
        dest="log",
        action="store_const",
        const="console",
        help="the serial console (default)",
    )
    which.add_argument("--vmm", dest="log", action="store_const", const="vmm", help="the VMM's log")
    parser.text = _TEXT


def _logs(arguments: Namespace, context: Context) -> int:
    if arguments.name is not None and arguments.log is not None:
        raise UsageError(f"--{arguments.log} and a SESSION exclude each other.")
    if arguments.name is not None:
        return _session_logs(arguments, context)
    if arguments.since is not None:
        raise UsageError(
            "--since needs a SESSION: the console has no times.",
            hint=f"banger vm logs --tail 20 {arguments.ref}",
        )
    params = {
        "ref": arguments.ref,
        "log": arguments.log or "console",
        "follow": arguments.follow,
    }
    if arguments.tail is not None:
        params["tail"] = arguments.tail
    with context.client() as client:
        stream = client.stream("vm.logs", params)
    with contextlib.closing(stream):
        copy_out(stream)
    return 0


def _configure_session(parser: Parser) -> None:
    add_session(parser)
    _add_options(parser)
    parser.text = _SESSION_TEXT


def _session_logs(arguments: Namespace, context: Context) -> int:
    given = {
        "ref": arguments.ref,
        "name": arguments.name,
        "follow": arguments.follow,
        "tail": arguments.tail,
        "since": arguments.since,
    }
    params = {name: value for name, value in given.items() if value is not None}
    output = GuestOutput()
    try:
        open_attachment(context, params).run(output.copy)
    finally:
        output.end()
    return 0


COMMANDS = {
    "vm logs": (_configure, _logs),
    "vm session logs": (_configure_session, _session_logs),
}
