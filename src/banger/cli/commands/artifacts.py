"""Shared parts of the commands on images, kernels and templates: make, list, delete, prune.

Images, kernels and templates have a digest or key of 64 digits; twelve are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from banger.cli.options.targets import each_target
from banger.cli.terminal.output import Column, format_json, render_table, terminal_width
from banger.cli.terminal.progress import Stages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from banger.cli.app.context import Context
    from banger.cli.app.parser import Parser

Item = dict[str, object]


def add_making(parser: Parser) -> None:
    """Add the options of a command that makes an image, kernel or template."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


def make_one(
    method: str, params: Item, arguments: Namespace, context: Context, *, key: str = "digest"
) -> int:
    """Call a method that makes an artifact, show progress, and print the artifact's key.

    Also print the times of the stages if the command has `--timings` (`add_timings`) and the
    option is given.
    """
    timings = getattr(arguments, "timings", False)
    with context.client() as client, Stages(quiet=arguments.quiet, timings=timings) as stages:
        made = client.request(method, params, on_event=stages.on_event, on_tick=stages.on_tick)
    assert isinstance(made, dict)
    context.out(format_json(made) if arguments.json else made[key])
    return 0


def print_list(
    items: object,
    columns: Sequence[Column],
    row: Callable[[Item], list[str]],
    arguments: Namespace,
    context: Context,
    *,
    key: str = "digest",
) -> int:
    """Print a list as JSON, as keys, or as a table."""
    assert isinstance(items, list)
    if arguments.json:
        context.out(format_json(items))
    elif arguments.quiet:
        for item in items:
            context.out(item[key])
    else:
        rows = [row(item) for item in items]
        context.out(render_table(columns, rows, width=terminal_width()))
    return 0


def delete_each(method: str, arguments: Namespace, context: Context) -> int:
    """Delete each artifact on the command line, and say so."""
    with context.client() as client:

        def act(ref: str) -> None:
            client.request(method, {"ref": ref})
            context.say(f"deleted {ref}")

        return each_target(arguments.refs, act, context)


def add_pruning(parser: Parser) -> None:
    """Add the option of a command that prunes."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no notices")


def prune(method: str, arguments: Namespace, context: Context) -> int:
    """Delete unused artifacts, and print which were deleted."""
    with context.client() as client:
        deleted = client.request(method)
    assert isinstance(deleted, dict)
    if not arguments.quiet:
        for key in deleted["ids"]:
            context.say(f"deleted {key[:12]}")
    return 0
