"""`vm set`: change a VM's shape, name and labels."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.options.targets import add_refs, each_target
from banger.cli.options.vm import add_labels, add_shape, shape_params

_TEXT = (
    "Name and labels change at once. Other values of a running VM change at its next\n"
    "boot (banger vm restart VM); a notice lists them."
)


def _configure(parser: Parser) -> None:
    add_refs(parser)
    add = parser.add_argument
    add_shape(parser, disk="new size of the data disk, such as 16G; it can only grow")
    add_labels(parser)
    add(
        "--no-label",
        action="append",
        default=[],
        metavar="K",
        help="remove a label; repeatable",
    )
    add("--name", help="new name (one VM only)")
    add("--keep", action="store_true", help="keep a VM that was created with --rm")
    add("-q", "--quiet", action="store_true", help="no progress, no notices")
    parser.text = _TEXT


def _set(arguments: Namespace, context: Context) -> int:
    params = shape_params(arguments)
    labels: dict[str, object] = dict.fromkeys(arguments.no_label) | dict(arguments.label)
    if labels:
        params["labels"] = labels
    if arguments.name is not None:
        params["name"] = arguments.name
    if arguments.keep:
        params["keep"] = True
    if not params:
        raise UsageError("There is nothing to change.", hint="banger vm set --help")
    if arguments.name is not None and len(arguments.refs) > 1:
        raise UsageError("--name can be given to one VM only.")
    with context.client() as client:

        def change(ref: str) -> None:
            view = client.call("vm.set", {"ref": ref, **params})
            if arguments.quiet:
                return
            context.say(f"changed {view['name']}")
            if view["notice"]:
                context.say(f"  {view['notice']} (banger vm restart {view['name']})")

        return each_target(arguments.refs, change, context)


COMMANDS = {"vm set": (_configure, _set)}
