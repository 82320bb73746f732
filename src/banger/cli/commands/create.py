"""`vm create`: a VM without a workspace."""

from __future__ import annotations

import os
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.app.usage import UsageError
from banger.cli.app.values import duration_s
from banger.cli.commands.run_vms import say_made
from banger.cli.options.locale import add_host_locale, chosen_locale
from banger.cli.options.timings import add_timings
from banger.cli.options.vm import add_ending, add_force, add_no_template, add_sizing, sizing_params
from banger.cli.terminal.output import format_json
from banger.cli.terminal.progress import Stages

_TEXT = (
    "The VM is ready when the guest's agent answers and the image's init has settled.\n"
    "\n"
    "An entry point needs an image without an init. It is started after each boot and\n"
    "restarted when it fails; its output is in `banger vm logs --console`."
)


def _configure(parser: Parser) -> None:
    add_sizing(parser)
    add_no_template(parser)
    add_ending(parser)
    add_force(parser)
    add_host_locale(parser)
    add = parser.add_argument
    add("--no-start", action="store_true", help="create the VM without starting it")
    add("--entrypoint", action="store_true", help="keep the image's entry point running")
    add(
        "--boot-timeout",
        metavar="TIME",
        type=duration_s,
        help="time limit for the VM to become ready",
    )
    add_timings(parser)
    add("--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="no progress; print the ID instead of the name")
    parser.text = _TEXT


def _create(arguments: Namespace, context: Context) -> int:
    params = sizing_params(arguments) | {
        "start": not arguments.no_start,
        "entrypoint": arguments.entrypoint,
        "env": chosen_locale(arguments, os.environ),
    }
    if arguments.boot_timeout is not None:
        if arguments.no_start:
            raise UsageError("--boot-timeout and --no-start exclude each other.")
        params["deadline_s"] = arguments.boot_timeout
    stages = Stages(quiet=arguments.quiet, timings=arguments.timings)
    with context.client() as client, stages:
        try:
            view = client.call(
                "vm.create", params, on_event=stages.on_event, on_tick=stages.on_tick
            )
        except KeyboardInterrupt as interrupt:
            say_made(interrupt, stages)
            raise
    if arguments.json:
        context.out(format_json(view))
    else:
        context.out(view["id"] if arguments.quiet else view["name"])
    return 0


COMMANDS = {"vm create": (_configure, _create)}
