"""Options and output formats shared by all `list` and `show` commands.

A list is one JSON array. `show` prints an object for one name, an array for several.
"""

from __future__ import annotations

from collections.abc import Callable

from banger.cli.options.targets import add_refs, each_target
from banger.cli.terminal.output import format_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Any

    from banger.cli.app.context import Context
    from banger.cli.app.parser import Parser


def add_list_options(parser: Parser, *, what: str = "ids") -> None:
    """Add the options of a list; `what` names the values that --quiet prints."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--json", action="store_true", help="print JSON (an array)")
    either.add_argument("-q", "--quiet", action="store_true", help=f"print {what} only")


def add_show_options(parser: Parser, *, what: str, text: str) -> None:
    """Add the arguments and the options of `show`."""
    add_refs(parser, what=what, text=text)
    parser.add_argument(
        "--json", action="store_true", help="print JSON (an object, or an array for several)"
    )


def show_each(
    method: str,
    describe: Callable[[dict[str, Any]], str],
    arguments: Namespace,
    context: Context,
) -> int:
    """Print each object named on the command line; return the exit status."""
    views: list[dict[str, Any]] = []
    with context.client() as client:

        def show(ref: str) -> None:
            view = client.request(method, {"ref": ref})
            assert isinstance(view, dict)
            views.append(view)

        status = each_target(arguments.refs, show, context)
    if arguments.json:
        if len(arguments.refs) > 1:
            context.out(format_json(views))
        elif views:
            context.out(format_json(views[0]))
    elif views:
        context.out("\n\n".join(describe(view) for view in views))
    return status
