"""`image register` and `image promote`: files of the user's as images."""

from __future__ import annotations

import os
from argparse import Namespace

from banger.cli.context import Context
from banger.cli.output import format_json
from banger.cli.parser import Parser
from banger.cli.progress import Stages

_REGISTER_TEXT = """\
FILE is a squashfs, such as mksquashfs makes; it stays where it is and is only
read. When it has changed or is gone, VMs of the image are not started. What
else holds a root file system can be imported (banger image import).

`banger image delete` only forgets it."""


def _configure_register(parser: Parser) -> None:
    add = parser.add_argument
    add("name", metavar="NAME", help="the image's name")
    add("file", metavar="FILE", help="the squashfs file")
    add("--init", metavar="PATH", help="its init, or none (default: systemd if it has that)")
    add("--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="no progress")
    parser.text = _REGISTER_TEXT


def _register(arguments: Namespace, context: Context) -> int:
    params: dict[str, object] = {"name": arguments.name, "path": os.path.abspath(arguments.file)}
    if arguments.init is not None:
        params["init"] = "" if arguments.init == "none" else arguments.init
    return _make("image.register", params, arguments, context)


def _configure_promote(parser: Parser) -> None:
    add = parser.add_argument
    add("ref", metavar="IMAGE", help="name, digest, or the beginning of one")
    add("--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="no progress")
    parser.text = "The file that was registered stays where it is and is needed no longer."


def _promote(arguments: Namespace, context: Context) -> int:
    return _make("image.promote", {"ref": arguments.ref}, arguments, context)


def _make(method: str, params: dict[str, object], arguments: Namespace, context: Context) -> int:
    with context.client() as client, Stages(quiet=arguments.quiet) as stages:
        image = client.call(method, params, on_event=stages.on_event, on_tick=stages.on_tick)
    assert isinstance(image, dict)
    context.out(format_json(image) if arguments.json else image["digest"])
    return 0


COMMANDS = {
    "image register": (_configure_register, _register),
    "image promote": (_configure_promote, _promote),
}
