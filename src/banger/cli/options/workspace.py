"""Options of the commands that copy a repository into a guest."""

from __future__ import annotations

from banger.cli.app.parser import Parser


def add_full(parser: Parser) -> None:
    """Add --full."""
    parser.add_argument(
        "--full",
        action="store_true",
        help="copy all history, the contents of submodules, and LFS objects",
    )
