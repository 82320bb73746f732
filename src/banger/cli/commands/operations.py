"""`operations list/cancel`."""

from __future__ import annotations

import time
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.options.show import add_list_options
from banger.cli.options.targets import add_refs, each_target
from banger.cli.terminal.output import (
    Column,
    format_age,
    format_json,
    render_table,
    terminal_width,
)
from banger.errors import DaemonSilent, DaemonUnreachable, OutcomeUnknown, VersionMismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import OperationView

COLUMNS = (
    Column("ID", is_vital=True),
    Column("METHOD", least=8),
    Column("VM", least=8),
    Column("STAGE", least=8),
    Column("SINCE", is_number=True),
)


def _configure_list(parser: Parser) -> None:
    add_list_options(parser)


def _list(arguments: Namespace, context: Context) -> int:
    found = _load(context)
    if arguments.json:
        context.out(format_json(found))
    elif arguments.quiet:
        for operation in found:
            context.out(operation["id"])
    else:
        now = time.time()
        rows = [
            [
                operation["id"],
                operation["method"],
                operation["vm"] or operation["vm_id"] or "-",
                operation["stage"] or "-",
                format_age(now - operation["started_at"]),
            ]
            for operation in found
        ]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


def _load(context: Context) -> list[OperationView]:
    """Return the operations in progress; without a daemon there are none."""
    try:
        with context.client(autostart=False) as client:
            found = client.call("operations.list")
    except (DaemonSilent, OutcomeUnknown, VersionMismatch):
        raise
    except DaemonUnreachable:
        return []
    return found


def _configure_cancel(parser: Parser) -> None:
    add_refs(parser, what="ID", text="ID or unique prefix, as in `banger operations list`")
    parser.text = (
        "The client of a cancelled operation exits with status 130. Stop, kill and delete\n"
        "cannot be cancelled; they always complete."
    )


def _cancel(arguments: Namespace, context: Context) -> int:
    with context.client(autostart=False) as client:

        def cancel(ref: str) -> None:
            was = client.call("operations.cancel", {"id": ref})
            of = f" of {was['vm']}" if was["vm"] else ""
            context.say(f"cancelled {was['method']}{of}")

        return each_target(arguments.refs, cancel, context)


COMMANDS = {
    "operations list": (_configure_list, _list),
    "operations cancel": (_configure_cancel, _cancel),
}
