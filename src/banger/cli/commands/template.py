"""`template build/list/delete/prune`."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.commands.artifacts import (
    add_making,
    add_pruning,
    delete_each,
    make_one,
    print_list,
    prune,
)
from banger.cli.options.show import add_list_options
from banger.cli.options.targets import add_refs
from banger.cli.options.vm import add_shape, shape_params
from banger.cli.terminal.output import Column, format_age, format_bytes, format_mib

COLUMNS = (
    Column("KEY"),
    Column("IMAGE", least=12),
    Column("VCPU", is_number=True, spare=3),
    Column("MEMORY", is_number=True),
    Column("DISK", is_number=True, spare=4),
    Column("SETUP", is_number=True, spare=5),
    Column("SIZE", is_number=True),
    Column("USERS", is_number=True),
    Column("READY", is_number=True, spare=2),
    Column("USES", is_number=True, spare=1),
    Column("AGE", is_number=True),
    Column("USED", is_number=True),
)


def _configure_build(parser: Parser) -> None:
    add = parser.add_argument
    add("image", nargs="?", metavar="IMAGE", help="image to boot (default: setting default_image)")
    add("--kernel", help="kernel to boot (default: setting default_kernel)")
    add_shape(parser, has_defaults=True)
    add_making(parser)
    parser.text = (
        "New VMs of this image and size then start from it instead of booting. `vm run`\n"
        "and `vm create` build it when needed."
    )


def _build(arguments: Namespace, context: Context) -> int:
    given = {"image": arguments.image, "kernel": arguments.kernel}
    params = shape_params(arguments) | {k: v for k, v in given.items() if v is not None}
    return make_one("template.build", params, arguments, context, key="key")


def _configure_list(parser: Parser) -> None:
    add_list_options(parser, what="keys")


def _list(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        templates = client.call("template.list")
    return print_list(templates, COLUMNS, _row, arguments, context, key="key")


def _row(template: dict[str, Any]) -> list[str]:
    now = time.time()
    return [
        template["key"][:12],
        template["image"],
        str(template["vcpu"]),
        format_mib(template["memory_mib"]),
        format_mib(template["disk_mib"]),
        str(len(template["setup"])),
        format_bytes(template["size_bytes"]),
        str(len(template["users"])),
        str(template["waiting"]),
        str(template["uses"]),
        format_age(now - template["created_at"]),
        format_age(now - template["used_at"]),
    ]


def _configure_delete(parser: Parser) -> None:
    add_refs(parser, what="TEMPLATE")


def _delete(arguments: Namespace, context: Context) -> int:
    return delete_each("template.delete", arguments, context)


def _configure_prune(parser: Parser) -> None:
    add_pruning(parser)


def _prune(arguments: Namespace, context: Context) -> int:
    return prune("template.prune", arguments, context)


COMMANDS = {
    "template build": (_configure_build, _build),
    "template list": (_configure_list, _list),
    "template delete": (_configure_delete, _delete),
    "template prune": (_configure_prune, _prune),
}
