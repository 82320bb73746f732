"""`image catalog`."""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.parser import Parser
from banger.cli.commands.artifacts import print_list
from banger.cli.options.show import add_list_options
from banger.cli.terminal.output import Column

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COLUMNS = (
    Column("NAME", is_vital=True),
    Column("HOW"),
    Column("HERE"),
    Column("WHAT", least=10),
)
_TEXT = (
    "`banger vm run --image NAME` builds a missing image from Debian's signed\n"
    "packages, which takes a few minutes. `banger image build` builds images with\n"
    "other packages, `banger image pull` pulls from a registry."
)


def _configure(parser: Parser) -> None:
    add_list_options(parser, what="names")
    parser.text = _TEXT


def _catalog(arguments: Namespace, context: Context) -> int:
    with context.client() as client:
        known = client.call("image.catalog")
    return print_list(known, COLUMNS, _row, arguments, context, key="name")


def _row(image: dict[str, Any]) -> list[str]:
    return [image["name"], "build", "yes" if image["digest"] else "no", image["summary"]]


COMMANDS = {"image catalog": (_configure, _catalog)}
