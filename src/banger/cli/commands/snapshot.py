"""`vm snapshot create/list/restore/delete`."""

from __future__ import annotations

import time
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.options.show import add_list_options
from banger.cli.options.targets import each_target
from banger.cli.options.vm import add_force
from banger.cli.terminal.output import (
    Column,
    format_age,
    format_bytes,
    format_json,
    render_table,
    terminal_width,
)
from banger.cli.terminal.progress import Stages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import SnapshotView

COLUMNS = (
    Column("NAME", least=8, is_vital=True),
    Column("ID"),
    Column("SIZE", is_number=True),
    Column("USERS", least=5, spare=1),
    Column("AGE", is_number=True),
)


def _configure(parser: Parser) -> None:
    parser.add_argument("ref", metavar="VM", help="name, ID or unique prefix")


def _configure_create(parser: Parser) -> None:
    _configure(parser)
    add = parser.add_argument
    add(
        "name",
        nargs="?",
        metavar="NAME",
        help="name of the snapshot (default: snapshot-1, snapshot-2 ...)",
    )
    add("--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="no progress; print the ID instead of the name")
    parser.text = "The VM keeps running, except for a brief pause."


def _create(arguments: Namespace, context: Context) -> int:
    params = {"ref": arguments.ref}
    if arguments.name is not None:
        params["name"] = arguments.name
    with context.client() as client, Stages(quiet=arguments.quiet) as stages:
        view = client.call(
            "snapshot.create", params, on_event=stages.on_event, on_tick=stages.on_tick
        )
    if arguments.json:
        context.out(format_json(view))
    else:
        context.out(view["id"] if arguments.quiet else view["name"])
    return 0


def _configure_list(parser: Parser) -> None:
    _configure(parser)
    add_list_options(parser)


def _list(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        snapshots = client.call("snapshot.list", {"ref": arguments.ref})
    if arguments.json:
        context.out(format_json(snapshots))
    elif arguments.quiet:
        for snapshot in snapshots:
            context.out(snapshot["id"])
    else:
        now = time.time()
        rows = [_row(snapshot, now=now) for snapshot in snapshots]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


def _row(snapshot: SnapshotView, *, now: float) -> list[str]:
    return [
        snapshot["name"],
        snapshot["id"],
        format_bytes(snapshot["size_bytes"]),
        " ".join(snapshot["users"]) or "-",
        format_age(now - snapshot["created_at"]),
    ]


def _configure_restore(parser: Parser) -> None:
    _configure(parser)
    parser.add_argument("name", metavar="NAME", help="name or ID of the snapshot")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    add_force(parser)
    parser.text = "Later changes, in memory and on disk, are lost."


def _restore(arguments: Namespace, context: Context) -> int:
    params = {"ref": arguments.ref, "name": arguments.name, "force": arguments.force}
    with context.client() as client, Stages(quiet=arguments.quiet) as stages:
        view = client.call(
            "snapshot.restore", params, on_event=stages.on_event, on_tick=stages.on_tick
        )
        stages.end()
        if view.get("notice"):
            context.say(f"banger: {view['notice']}")
        stages.say(f"restored {view['name']} to {arguments.name}")
    return 0


def _configure_delete(parser: Parser) -> None:
    _configure(parser)
    parser.add_argument("names", nargs="+", metavar="NAME", help="name or ID of the snapshot")


def _delete(arguments: Namespace, context: Context) -> int:
    with context.client() as client:

        def act(name: str) -> None:
            client.call("snapshot.delete", {"ref": arguments.ref, "name": name})
            context.say(f"deleted {name}")

        return each_target(arguments.names, act, context)


COMMANDS = {
    "vm snapshot create": (_configure_create, _create),
    "vm snapshot list": (_configure_list, _list),
    "vm snapshot restore": (_configure_restore, _restore),
    "vm snapshot delete": (_configure_delete, _delete),
}
