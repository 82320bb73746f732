"""`vm ports`: listening sockets in VMs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.options.targets import add_refs, each_target
from banger.cli.terminal.output import Column, format_json, render_table, terminal_width

COLUMNS = (
    Column("VM", least=8, is_vital=True),
    Column("PROTO"),
    Column("ADDRESS", least=9),
    Column("PORT", is_number=True),
)


def _configure(parser: Parser) -> None:
    add_refs(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.text = "Addresses are the guest's own: 0.0.0.0 and :: stand for all that it has."


def _ports(arguments: Namespace, context: Context) -> int:
    found: list[Mapping[str, object]] = []
    with context.client() as client:

        def look(ref: str) -> None:
            listeners = client.call("vm.ports", {"ref": ref})
            assert isinstance(listeners, list)
            found.extend(listeners)

        status = each_target(arguments.refs, look, context)
    if arguments.json:
        context.out(format_json(found))
    elif found or not status:
        fields = ("vm", "protocol", "address", "port")
        rows = [[str(listener[field]) for field in fields] for listener in found]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return status


COMMANDS = {"vm ports": (_configure, _ports)}
