"""`config show`: every setting and where it came from. Reads files; needs no daemon."""

from __future__ import annotations

import os
from argparse import Namespace

from banger.cli.context import Context
from banger.cli.output import Column, format_json, render_table, terminal_width
from banger.cli.parser import Parser

COLUMNS = (Column("KEY"), Column("VALUE", least=8), Column("ORIGIN", least=12))


def _configure(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _show(arguments: Namespace, context: Context) -> int:
    from banger.config import load_settings

    items = list(load_settings(context.layout.config_file, os.environ).items())
    if arguments.json:
        rows = {key: {"value": _plain(value), "origin": origin} for key, value, origin in items}
        context.out(format_json(rows))
    else:
        table = [[key, str(value), origin] for key, value, origin in items]
        context.out(render_table(COLUMNS, table, width=terminal_width()))
    return 0


def _plain(value: object) -> object:
    """Return a value as JSON has it."""
    from banger.model.registries import Registries

    return value.as_document() if isinstance(value, Registries) else value


COMMANDS = {"config show": (_configure, _show)}
