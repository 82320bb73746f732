"""`kernel list/show/delete/prune`."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.commands.artifacts import add_pruning, delete_each, print_list, prune
from banger.cli.options.show import add_list_options, add_show_options, show_each
from banger.cli.options.targets import add_refs
from banger.cli.terminal.output import Column, format_age, format_bytes, printable

COLUMNS = (
    Column("NAME", least=12),
    Column("VERSION", least=12),
    Column("ARCH", spare=1),
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


def _configure_list(parser: Parser) -> None:
    text = "list the kernels that can be pulled instead"
    parser.add_argument("--available", action="store_true", help=text)
    add_list_options(parser, what="digests (names, if available)")


def _list(arguments: Namespace, context: Context) -> int:
    method = "kernel.available" if arguments.available else "kernel.list"
    with context.client() as client:
        kernels = client.request(method)
    if arguments.available:
        return print_list(
            kernels, AVAILABLE_COLUMNS, _available_row, arguments, context, key="name"
        )
    return print_list(kernels, COLUMNS, _row, arguments, context)


def _available_row(kernel: dict[str, Any]) -> list[str]:
    here = "yes" if kernel["digest"] else "no"
    return [kernel["name"], kernel["suite"], kernel["package"], here]


def _row(kernel: dict[str, Any]) -> list[str]:
    return [
        kernel["name"],
        kernel["version"],
        kernel["arch"],
        kernel["digest"][:12],
        format_bytes(kernel["size_bytes"]),
        str(len(kernel["users"])),
        format_age(time.time() - kernel["created_at"]),
        "" if kernel["current"] else "replaced",
    ]


def _configure_show(parser: Parser) -> None:
    add_show_options(parser, what="KERNEL", text="name, digest or unique prefix")


def _show(arguments: Namespace, context: Context) -> int:
    return show_each("kernel.show", _describe, arguments, context)


def _describe(kernel: dict[str, Any]) -> str:
    name = kernel["name"] + ("" if kernel["current"] else " (replaced)")
    lines = {
        "name": name,
        "version": kernel["version"],
        "arch": kernel["arch"],
        "digest": kernel["digest"],
        "size": format_bytes(kernel["size_bytes"]),
        "source": kernel["source"],
        "agent": kernel["agent_version"],
        "modules": "in the guest's /lib/modules" if kernel["tree"] else "built-in only",
        "lacks": "; ".join(kernel["missed"]) or "nothing that guests need",
        "users": ", ".join(kernel["users"]) or "none",
        "created": format_age(time.time() - kernel["created_at"]) + " ago",
    }
    return "\n".join(f"{label:<10}{printable(str(value))}" for label, value in lines.items())


def _configure_delete(parser: Parser) -> None:
    add_refs(parser, what="KERNEL")


def _delete(arguments: Namespace, context: Context) -> int:
    return delete_each("kernel.delete", arguments, context)


def _configure_prune(parser: Parser) -> None:
    add_pruning(parser)
    parser.text = (
        "After an update of banger or of a kernel package, older kernels are kept for the\n"
        "VMs that boot them. This deletes those that no VM uses, with their templates."
    )


def _prune(arguments: Namespace, context: Context) -> int:
    return prune("kernel.prune", arguments, context)


COMMANDS = {
    "kernel list": (_configure_list, _list),
    "kernel show": (_configure_show, _show),
    "kernel delete": (_configure_delete, _delete),
    "kernel prune": (_configure_prune, _prune),
}
