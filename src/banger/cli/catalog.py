"""`image catalog`."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.context import Context
from banger.cli.output import Column, format_json, render_table, terminal_width
from banger.cli.parser import Parser

COLUMNS = (
    Column("NAME", is_vital=True),
    Column("HOW"),
    Column("HERE"),
    Column("WHAT", least=10),
)
_TEXT = """\
`banger vm run --image NAME` builds what is not here, from Debian's signed
packages: that takes some minutes. `banger image build` makes others of them;
an image of a registry goes by its reference (`banger image pull`)."""


def _configure(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="print names only")
    parser.text = _TEXT


def _catalog(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        known = client.call("image.catalog")
    assert isinstance(known, list)
    if arguments.json:
        context.out(format_json(known))
    elif arguments.quiet:
        for image in known:
            context.out(image["name"])
    else:
        rows = [
            [
                image["name"],
                "build",
                "yes" if image["digest"] else "no",
                image["summary"],
            ]
            for image in known
        ]
        context.out(render_table(COLUMNS, rows, width=terminal_width()))
    return 0


COMMANDS = {"image catalog": (_configure, _catalog)}
