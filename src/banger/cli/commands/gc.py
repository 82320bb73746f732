"""`gc`: remove leftover processes and directories that belong to no VM."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.terminal.output import format_json, printable


def _configure(parser: Parser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="list leftovers, remove nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _collect(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        found = client.call("gc", {"dry_run": arguments.dry_run})
    if arguments.json:
        context.out(format_json(found))
        return 0
    for leftover in found:
        what = "removed" if leftover["removed"] else "found"
        context.out(f"{what} {leftover['kind']} {printable(leftover['name'])}")
    if not found:
        context.say("There are no leftovers.")
    return 0


COMMANDS = {"gc": (_configure, _collect)}
