"""`vm workspace plan`: the tools that a repository pins. Needs no daemon and no VM."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.options.project import find_top
from banger.cli.options.tooling import read_plan
from banger.cli.terminal.output import (
    Column,
    format_json,
    printable,
    render_table,
    terminal_width,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.toolingplan.plan import ToolingPlan

COLUMNS = (Column("TOOL"), Column("VERSION", least=8), Column("FILE", least=8), Column("USED"))

_TEXT = (
    "Reads mise.toml, .tool-versions, .node-version, .nvmrc, .python-version,\n"
    ".ruby-version, .java-version, rust-toolchain.toml, go.mod, package.json\n"
    "(engines, packageManager), Gemfile and uv.lock, without running any code. If\n"
    "several files pin a tool, the first in this list is used. Problems are reported\n"
    "on stderr."
)


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("path", nargs="?", metavar="PATH", default=".", help="a directory (default: this one)")
    add("--json", action="store_true", help="print JSON")
    parser.text = _TEXT


def _plan(arguments: Namespace, context: Context) -> int:
    plan = read_plan(find_top(arguments.path))
    if arguments.json:
        context.out(format_json(_as_document(plan)))
        return 0
    for problem in plan.problems:
        context.say(printable(problem))
    if not plan.pins:
        context.say("The repository pins no tools.")
        return 0
    rows = [[p.tool, p.version, p.source, "yes" if p.is_chosen else "no"] for p in plan.pins]
    context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


def _as_document(plan: ToolingPlan) -> dict[str, object]:
    return {
        "pins": [
            {"tool": p.tool, "version": p.version, "file": p.source, "used": p.is_chosen}
            for p in plan.pins
        ],
        "problems": list(plan.problems),
    }


COMMANDS = {"vm workspace plan": (_configure, _plan)}
