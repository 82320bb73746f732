"""`kernel pull/import/list/show/delete/prune`."""

from __future__ import annotations

import os
import time
from argparse import Namespace

from banger.cli.context import Context
from banger.cli.output import (
    Column,
    format_age,
    format_bytes,
    format_json,
    printable,
    render_table,
    terminal_width,
)
from banger.cli.parser import Parser
from banger.cli.progress import Stages
from banger.cli.targets import add_refs, each_target

COLUMNS = (
    Column("NAME", least=12),
    Column("VERSION", least=12),
    Column("ARCH"),
    Column("DIGEST"),
    Column("SIZE", is_number=True),
    Column("USERS", is_number=True),
    Column("AGE", is_number=True),
    Column("NOTE"),
)
AVAILABLE_COLUMNS = (
    Column("NAME", is_vital=True),
    Column("SUITE"),
    Column("PACKAGE"),
    Column("HERE"),
)


def _configure_pull(parser: Parser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="such as debian-cloud (see `banger kernel list --available`)")
    add("--force", action="store_true", help="fetch it again even if it is here")
    add("--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="no progress")


def _pull(arguments: Namespace, context: Context) -> int:
    params = {"name": arguments.name, "force": arguments.force}
    return _make("kernel.pull", params, arguments, context)


def _configure_import(parser: Parser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="what it is to be called")
    add("--kernel", required=True, metavar="FILE", help="the bzImage, or a vmlinux with PVH")
    add("--modules", metavar="DIR", help="its modules: /lib/modules/VERSION")
    add("--config", metavar="FILE", help="its configuration, if it does not carry it itself")
    add("--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="no progress")
    parser.text = "The files are copied. What guests need and it lacks is named."


def _import(arguments: Namespace, context: Context) -> int:
    paths = {name: getattr(arguments, name) for name in ("kernel", "modules", "config")}
    given = {name: os.path.abspath(path) for name, path in paths.items() if path is not None}
    return _make("kernel.import", {"name": arguments.name, **given}, arguments, context)


def _make(method: str, params: dict[str, object], arguments: Namespace, context: Context) -> int:
    with context.client() as client, Stages(quiet=arguments.quiet) as stages:
        kernel = client.call(method, params, on_event=stages.on_event, on_tick=stages.on_tick)
    assert isinstance(kernel, dict)
    context.out(format_json(kernel) if arguments.json else kernel["digest"])
    return 0


def _configure_list(parser: Parser) -> None:
    add = parser.add_argument
    add("--available", action="store_true", help="list the kernels that can be pulled instead")
    add("--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="print digests (names, if available) only")


def _list(arguments: Namespace, context: Context) -> int:
    method = "kernel.available" if arguments.available else "kernel.list"
    with context.client() as client:
        kernels = client.call(method)
    assert isinstance(kernels, list)
    if arguments.json:
        context.out(format_json(kernels))
    elif arguments.quiet:
        for kernel in kernels:
            context.out(kernel["name" if arguments.available else "digest"])
    elif arguments.available:
        rows = [
            [k["name"], k["suite"], k["package"], "yes" if k["here"] else "no"] for k in kernels
        ]
        context.out(render_table(AVAILABLE_COLUMNS, rows, width=terminal_width()))
    else:
        now = time.time()
        rows = [
            [
                kernel["name"],
                kernel["version"],
                kernel["arch"],
                kernel["digest"][:12],
                format_bytes(kernel["size_bytes"]),
                str(len(kernel["users"])),
                format_age(now - kernel["created_at"]),
                "" if kernel["current"] else "replaced",
            ]
            for kernel in kernels
        ]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


def _configure_show(parser: Parser) -> None:
    parser.add_argument("ref", metavar="KERNEL", help="name, digest, or the beginning of one")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _show(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        kernel = client.call("kernel.show", {"ref": arguments.ref})
    assert isinstance(kernel, dict)
    if arguments.json:
        context.out(format_json(kernel))
        return 0
    name = kernel["name"] + ("" if kernel["current"] else " (replaced by another one)")
    lines = {
        "name": name,
        "version": kernel["version"],
        "arch": kernel["arch"],
        "digest": kernel["digest"],
        "size": format_bytes(kernel["size_bytes"]),
        "source": kernel["source"],
        "agent": kernel["agent_version"],
        "modules": "in the guest's /lib/modules" if kernel["tree"] else "none but built-in ones",
        "lacks": "; ".join(kernel["missed"]) or "nothing that guests need",
        "users": ", ".join(kernel["users"]) or "none",
        "created": format_age(time.time() - kernel["created_at"]) + " ago",
    }
    for label, value in lines.items():
        context.out(f"{label:<10}{printable(str(value))}")
    return 0


def _configure_delete(parser: Parser) -> None:
    add_refs(parser, what="KERNEL")


def _delete(arguments: Namespace, context: Context) -> int:
    with context.client() as client:

        def act(ref: str) -> None:
            client.call("kernel.delete", {"ref": ref})
            context.say(f"deleted {ref}")

        return each_target(arguments.refs, act, context)


def _configure_prune(parser: Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing")
    parser.text = (
        "An update of banger or of a package leaves the kernels before it, for the VMs\n"
        "that boot them. Those that no VM uses go, with the templates made with them."
    )


def _prune(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        deleted = client.call("kernel.prune")
    assert isinstance(deleted, dict)
    if not arguments.quiet:
        for digest in deleted["ids"]:
            context.say(f"deleted {digest[:12]}")
    return 0


COMMANDS = {
    "kernel pull": (_configure_pull, _pull),
    "kernel import": (_configure_import, _import),
    "kernel list": (_configure_list, _list),
    "kernel show": (_configure_show, _show),
    "kernel delete": (_configure_delete, _delete),
    "kernel prune": (_configure_prune, _prune),
}
