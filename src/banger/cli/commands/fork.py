"""`vm fork`: independent VMs from a running one."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app import values
from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.commands.run_vms import say_made
from banger.cli.options.timings import add_timings
from banger.cli.options.vm import add_force
from banger.cli.terminal.output import format_json
from banger.cli.terminal.progress import Stages

_TEXT = (
    "A fork starts with the VM's memory, processes and disk as they are now, and has\n"
    "its own identity and network: connections to the outside are not carried over.\n"
    "The VM keeps running, and neither sees later changes of the other."
)


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="VM", help="name, ID or unique prefix")
    add(
        "-n",
        "--number",
        type=values.forks,
        default=1,
        metavar="N",
        help="number of clones (default: 1)",
    )
    add("--name", help="name of the clones: NAME-1, NAME-2 ... (default: the VM's name)")
    add_force(parser)
    add_timings(parser)
    add("--json", action="store_true", help="print JSON (an array)")
    add("-q", "--quiet", action="store_true", help="no progress; print IDs instead of names")
    parser.text = _TEXT


def _fork(arguments: Namespace, context: Context) -> int:
    params = {"ref": arguments.ref, "number": arguments.number, "force": arguments.force}
    if arguments.name is not None:
        params["name"] = arguments.name
    stages = Stages(quiet=arguments.quiet, timings=arguments.timings)
    with context.client() as client, stages:
        try:
            views = client.call("vm.fork", params, on_event=stages.on_event, on_tick=stages.on_tick)
        except KeyboardInterrupt as interrupt:
            say_made(interrupt, stages)
            raise
    if arguments.json:
        context.out(format_json(views))
    else:
        for view in views:
            context.out(view["id"] if arguments.quiet else view["name"])
    return 0


COMMANDS = {"vm fork": (_configure, _fork)}
