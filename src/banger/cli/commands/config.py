"""`config`: every setting and its origin; the configuration file, which the daemon rereads.

`config edit` makes the configuration directory; the editor writes the file.
"""

from __future__ import annotations

import os
import shlex
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.terminal.output import Column, format_json, render_table, terminal_width
from banger.errors import OperationFailed

EDITOR = "vi"
COLUMNS = (Column("KEY"), Column("VALUE", least=8), Column("ORIGIN", least=12))


def _configure(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _show(arguments: Namespace, context: Context) -> int:
    from banger.config import load_settings
    from banger.setting import format_value

    items = list(load_settings(context.layout.config_file, os.environ).items())
    if arguments.json:
        rows = {key: {"value": _plain(value), "origin": origin} for key, value, origin in items}
        context.out(format_json(rows))
    else:
        table = [[key, format_value(value), origin] for key, value, origin in items]
        context.out(render_table(COLUMNS, table, width=terminal_width()))
    return 0


def _plain(value: object) -> object:
    """Return a setting's value as a JSON type."""
    from banger.model.filesync import FileSync
    from banger.model.registries import Registries

    return value.as_document() if isinstance(value, (FileSync, Registries)) else value


def _configure_nothing(_: Parser) -> None:
    """Add no options: these commands have none."""


def _path(_: Namespace, context: Context) -> int:
    context.out(os.fspath(context.layout.config_file))
    return 0


def _edit(_: Namespace, context: Context) -> int:
    """Run the user's editor on the file; keep the file even if invalid, and report the error."""
    from banger.config import load_settings
    from banger.host.files import ensure_private_dir
    from banger.host.programs import run_foreground

    path = context.layout.config_file
    ensure_private_dir(path.parent)
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or EDITOR
    status = run_foreground([*shlex.split(editor), os.fspath(path)], env=os.environ)
    if status != 0:
        raise OperationFailed(f"The editor {editor} failed with status {status}.")
    load_settings(path, {})
    context.say(f"{path} is valid and in force.")
    return 0


COMMANDS = {
    "config show": (_configure, _show),
    "config path": (_configure_nothing, _path),
    "config edit": (_configure_nothing, _edit),
}
