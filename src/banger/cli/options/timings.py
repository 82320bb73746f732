"""`--timings`, an option of long-running commands."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.cli.app.parser import Parser


def add_timings(parser: Parser) -> None:
    """Add the option that prints a table of the stages' times."""
    parser.add_argument("--timings", action="store_true", help="print how long each stage took")
