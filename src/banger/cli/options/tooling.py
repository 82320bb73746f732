"""The tools that a repository pins, read from its files, which are untrusted and never run."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app.parser import Parser
from banger.errors import ConfigInvalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.toolingplan.plan import ToolingPlan


def add_no_bootstrap(parser: Parser) -> None:
    """Add --no-bootstrap."""
    parser.add_argument(
        "--no-bootstrap",
        action="store_true",
        help="do not install the tools that the repository pins",
    )


def read_plan(top: str) -> ToolingPlan:
    """Plan what the files at the top of a repository pin; one that cannot be read is a problem."""
    from banger.host.reading import read_below
    from banger.toolingplan.plan import FILES, ToolingPlan, plan_tooling, size_limit

    contents: dict[str, bytes] = {}
    problems: list[str] = []
    for name in FILES:
        try:
            content = read_below(top, name, limit=size_limit(name))
        except ConfigInvalid as error:
            problems.append(error.message)
            continue
        if content is not None:
            contents[name] = content.data
    plan = plan_tooling(contents)
    return ToolingPlan(plan.pins, (*problems, *plan.problems))


def apply_tooling(arguments: Namespace) -> None:
    """Have the tools that the repository pins installed before its setup commands."""
    arguments.vm_tools = ()
    if arguments.path is None or arguments.plain or arguments.no_bootstrap:
        return
    arguments.vm_tools = read_plan(arguments.path).tools
    if not arguments.vm_tools:
        return
    from banger.toolingplan.install import DIRECTORY, render_install

    script = render_install(arguments.vm_tools)
    if arguments.vm_setup is None:
        arguments.vm_setup = {"commands": [script], "directory": DIRECTORY, "optional": True}
    else:
        # What the commands need of the tools, they miss by themselves.
        commands = [f"(\n{script}) || true", *arguments.vm_setup["commands"]]
        arguments.vm_setup = arguments.vm_setup | {"commands": commands}
