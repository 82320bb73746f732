"""`kernel pull/list`."""

from __future__ import annotations

import time
from argparse import Namespace

from banger.cli.context import Context
from banger.cli.output import Column, format_age, format_json, render_table, terminal_width
from banger.cli.parser import Parser
from banger.cli.progress import Stages

COLUMNS = (
    Column("NAME", least=12),
    Column("VERSION", least=12),
    Column("ARCH"),
    Column("DIGEST"),
    Column("AGE", is_number=True),
)


def _configure_pull(parser: Parser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="such as debian-cloud")
    add("--force", action="store_true", help="fetch it again even if it is here")
    add("--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="no progress")


def _pull(arguments: Namespace, context: Context) -> int:
    params = {"name": arguments.name, "force": arguments.force}
    with context.client() as client, Stages(quiet=arguments.quiet) as stages:
        kernel = client.call(
            "kernel.pull", params, on_event=stages.on_event, on_tick=stages.on_tick
        )
    assert isinstance(kernel, dict)
    context.out(format_json(kernel) if arguments.json else kernel["digest"])
    return 0


def _configure_list(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="print digests only")


def _list(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        kernels = client.call("kernel.list")
    assert isinstance(kernels, list)
    if arguments.json:
        context.out(format_json(kernels))
    elif arguments.quiet:
        for kernel in kernels:
            context.out(kernel["digest"])
    else:
        now = time.time()
        rows = [
            [
                kernel["name"],
                kernel["version"],
                kernel["arch"],
                kernel["digest"][:12],
                format_age(now - kernel["created_at"]),
            ]
            for kernel in kernels
        ]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


COMMANDS = {"kernel pull": (_configure_pull, _pull), "kernel list": (_configure_list, _list)}
