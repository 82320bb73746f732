"""`template build/list/delete/prune`."""

from __future__ import annotations

import time
from argparse import Namespace

from banger.cli import values
from banger.cli.context import Context
from banger.cli.output import (
    Column,
    format_age,
    format_bytes,
    format_json,
    format_mib,
    render_table,
    terminal_width,
)
from banger.cli.parser import Parser
from banger.cli.progress import Stages
from banger.cli.targets import add_refs, each_target

COLUMNS = (
    Column("KEY"),
    Column("IMAGE", least=12),
    Column("VCPU", is_number=True),
    Column("MEMORY", is_number=True),
    Column("DISK", is_number=True),
    Column("SIZE", is_number=True),
    Column("USERS", is_number=True),
    Column("READY", is_number=True),
    Column("USES", is_number=True),
    Column("AGE", is_number=True),
    Column("USED", is_number=True),
)


def _configure_build(parser: Parser) -> None:
    add = parser.add_argument
    add("image", nargs="?", metavar="IMAGE", help="image to boot (see `banger image list`)")
    add("--kernel", help="kernel to boot (see `banger kernel list`)")
    add("--vcpu", type=values.count, metavar="N", help="virtual CPUs")
    add("--memory", type=values.size_mib, metavar="SIZE", help="512M, 2G; a bare number is MiB")
    add("--disk", type=values.size_mib, metavar="SIZE", help="size of its own disk, sparse: 8G")
    add("--network", type=values.network, metavar="KIND", help="user (outgoing only) or none")
    add("--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="no progress")
    parser.text = (
        "VMs of the same shape start from it.\n`vm run` and `vm create` make it by themselves."
    )


def _build(arguments: Namespace, context: Context) -> int:
    given = {
        "image": arguments.image,
        "kernel": arguments.kernel,
        "vcpu": arguments.vcpu,
        "memory_mib": arguments.memory,
        "disk_mib": arguments.disk,
        "network": arguments.network,
    }
    params = {name: value for name, value in given.items() if value is not None}
    with context.client() as client, Stages(quiet=arguments.quiet) as stages:
        view = client.call(
            "template.build", params, on_event=stages.on_event, on_tick=stages.on_tick
        )
    assert isinstance(view, dict)
    context.out(format_json(view) if arguments.json else view["key"])
    return 0


def _configure_list(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="print keys only")


def _list(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        templates = client.call("template.list")
    assert isinstance(templates, list)
    if arguments.json:
        context.out(format_json(templates))
    elif arguments.quiet:
        for template in templates:
            context.out(template["key"])
    else:
        now = time.time()
        rows = [_row(template, now) for template in templates]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


def _row(template: dict[str, object], now: float) -> list[str]:
    def number(name: str) -> float:
        value = template[name]
        assert isinstance(value, int | float)
        return value

    users = template["users"]
    assert isinstance(users, list)
    return [
        str(template["key"])[:12],
        str(template["image"]),
        str(template["vcpu"]),
        format_mib(int(number("memory_mib"))),
        format_mib(int(number("disk_mib"))),
        format_bytes(int(number("size_bytes"))),
        str(len(users)),
        str(template["waiting"]),
        str(template["uses"]),
        format_age(now - number("created_at")),
        format_age(now - number("used_at")),
    ]


def _configure_delete(parser: Parser) -> None:
    add_refs(parser, what="TEMPLATE")


def _delete(arguments: Namespace, context: Context) -> int:
    with context.client() as client:

        def act(ref: str) -> None:
            client.call("template.delete", {"ref": ref})
            context.say(f"deleted {ref}")

        return each_target(arguments.refs, act, context)


def _configure_prune(parser: Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing")


def _prune(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        deleted = client.call("template.prune")
    assert isinstance(deleted, dict)
    if not arguments.quiet:
        for key in deleted["ids"]:
            context.say(f"deleted {key[:12]}")
    return 0


COMMANDS = {
    "template build": (_configure_build, _build),
    "template list": (_configure_list, _list),
    "template delete": (_configure_delete, _delete),
    "template prune": (_configure_prune, _prune),
}
