"""Print a text repeatedly; on a terminal each one replaces the last."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from banger.cli.app.context import Context

CLEAR, HOME = "\x1b[2J", "\x1b[H"
CLEAR_LINE, CLEAR_REST = "\x1b[K", "\x1b[J"


def print_each(texts: Iterable[str], context: Context, *, in_place: bool) -> None:
    """Print texts as they come; `in_place`: if stdout is a terminal, over each other."""
    before = CLEAR + HOME
    in_place = in_place and sys.stdout.isatty()
    for text in texts:
        lines = text.replace("\n", f"{CLEAR_LINE}\n")
        context.out(f"{before}{lines}{CLEAR_LINE}{CLEAR_REST}" if in_place else text)
        context.flush()
        before = HOME
