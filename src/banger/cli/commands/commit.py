"""`vm commit`."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.commands.artifacts import add_making, make_one
from banger.cli.options.timings import add_timings

_TEXT = """\
The image has all files that the VM sees, but for what is mounted in it (/proc,
/dev, /run ...) and what makes it itself: host name, machine-id, ssh host keys.
How it is run is as for the VM's image. The VM goes on meanwhile: each file is
as it is when it is read, so stop what writes a lot first."""


def _configure(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="VM", help="name, ID or unique prefix")
    add("name", metavar="IMAGE", help="name of the image")
    add_making(parser)
    add_timings(parser)
    parser.text = _TEXT


def _commit(arguments: Namespace, context: Context) -> int:
    params = {"ref": arguments.ref, "name": arguments.name}
    return make_one("vm.commit", params, arguments, context)


COMMANDS = {"vm commit": (_configure, _commit)}
