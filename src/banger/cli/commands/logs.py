"""`vm logs`."""

from __future__ import annotations

import contextlib
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.values import line_count
from banger.cli.terminal.guest_text import copy_out


def _configure(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="follow the log: print new output as it appears"
    )
    parser.add_argument(
        "-n", "--tail", metavar="N", type=line_count, help="start with the last N lines"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--console",
        dest="log",
        action="store_const",
        const="console",
        help="the serial console (default)",
    )
    which.add_argument("--vmm", dest="log", action="store_const", const="vmm", help="the VMM's log")
    parser.set_defaults(log="console")
    parser.text = "On a terminal, control sequences in the log are left out."


def _logs(arguments: Namespace, context: Context) -> int:
    params = {"ref": arguments.ref, "log": arguments.log, "follow": arguments.follow}
    if arguments.tail is not None:
        params["tail"] = arguments.tail
    with context.client() as client:
        stream = client.stream("vm.logs", params)
    with contextlib.closing(stream):
        copy_out(stream)
    return 0


COMMANDS = {"vm logs": (_configure, _logs)}
