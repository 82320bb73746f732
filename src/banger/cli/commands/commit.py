"""`vm commit`."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.commands.artifacts import add_making, make_one
from banger.cli.options.timings import add_timings

_TEXT = (
    "The image has all files of the VM except mounts (/proc, /dev, /run ...) and what\n"
    "identifies the VM: host name, machine-id and ssh host keys. Its user, working\n"
    "directory and entry point are those of the VM's image. The VM keeps running:\n"
    "stop programs that write a lot first, since files are read one after the other."
)


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
