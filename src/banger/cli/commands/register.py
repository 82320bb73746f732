"""`image register` and `image promote`: use the user's own files as images."""

from __future__ import annotations

import os
from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.commands.artifacts import add_making, make_one

_REGISTER_TEXT = (
    "FILE is a squashfs file, as made by mksquashfs. It stays where it is and is only\n"
    "read; once it is changed or deleted, VMs of the image no longer start. Use\n"
    "`banger image import` for other formats.\n"
    "\n"
    "`banger image delete` leaves FILE alone."
)


def _configure_register(parser: Parser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="name of the image")
    add("file", metavar="FILE", help="squashfs file")
    add("--init", metavar="PATH", help="path of the init, or none (default: systemd if present)")
    add_making(parser)
    parser.text = _REGISTER_TEXT


def _register(arguments: Namespace, context: Context) -> int:
    params: dict[str, object] = {"name": arguments.name, "path": os.path.abspath(arguments.file)}
    if arguments.init is not None:
        params["init"] = "" if arguments.init == "none" else arguments.init
    return make_one("image.register", params, arguments, context)


def _configure_promote(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="IMAGE", help="name, digest or unique prefix")
    add_making(parser)
    parser.text = "The registered file stays where it is but is no longer needed."


def _promote(arguments: Namespace, context: Context) -> int:
    return make_one("image.promote", {"ref": arguments.ref}, arguments, context)


COMMANDS = {
    "image register": (_configure_register, _register),
    "image promote": (_configure_promote, _promote),
}
