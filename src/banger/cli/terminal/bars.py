"""The live display of a stage: a bar for the stage, and a bar for each parallel part.

Draws in the last lines of stderr, a terminal, and erases them afterwards. This module imports
`rich`, so import the module only to draw.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence

from rich.console import Console, ConsoleDimensions
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from banger.cli.terminal.output import ELLIPSIS, format_bytes, printable

BAR_WIDTH = 24
BAR_LEAST = 4
"""Least width of a bar; a narrower bar is omitted."""
ROWS_KEPT = 2
"""Rows of the terminal reserved for the stage's own bar and the cursor."""
TEXT_LEAST = 4
CLEAR_REST = "\x1b[J"
NO_CURSOR, CURSOR = "\x1b[?25l", "\x1b[?25h"
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"
"""Escape sequences: truncate long lines instead of wrapping, which would add rows."""
OTHERS = 1 + len("0:00:00") + 4
"""Width of the spinner, the time and the spaces between five columns."""

Part = tuple[str, int, int]
"""A part's name, bytes done and total bytes."""
Row = tuple[str, int | None, int | None, str]
"""Content of one row: text, amount done, total, and the share of both as text."""


class Bars:
    """The bars of one stage, from the first `show` to `stop`.

    A narrow terminal omits the bar first, then truncates the text, never numbers or times.
    """

    def __init__(self) -> None:
        # rich itself honours NO_COLOR. Markup is off, since names come from the daemon.
        uncut = Column(no_wrap=True)
        self._bar = BarColumn(bar_width=BAR_WIDTH, table_column=uncut)
        self._before_bar = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=uncut),
        )
        self._after_bar = (
            TextColumn("{task.fields[share]}", markup=False, table_column=uncut),
            TimeElapsedColumn(table_column=uncut),
        )
        # Never started: rich only lays out the rows, since its live display cannot follow a resize.
        self._progress = Progress(console=Console(file=sys.stderr), auto_refresh=False)
        self._tasks: dict[str, TaskID] = {}

    def show(
        self,
        stage: str,
        done: int | None,
        total: int | None,
        parts: Sequence[Part] = (),
        *,
        are_bytes: bool = False,
    ) -> None:
        """Draw the progress of the stage and of as many parts as fit, which are always bytes."""
        # Unlike rich, ignore COLUMNS, which may hold an old size of the window.
        size = os.get_terminal_size(sys.stderr.fileno())
        columns, lines = size.columns or 80, size.lines or 24
        self._progress.console.size = ConsoleDimensions(columns, lines)
        share = _format_share(done, total, are_bytes=are_bytes or bool(parts))
        rows: dict[str, Row] = {"": (stage, done, total, share)}
        for name, had, whole in parts[: max(lines - ROWS_KEPT, 0)]:
            rows[name] = (f"  {name}", had, whole, _format_share(had, whole, are_bytes=True))
        for name in self._tasks.keys() - rows.keys():
            self._progress.remove_task(self._tasks.pop(name))
        text_width = self._lay_out(rows.values(), columns)
        for name, row in rows.items():
            self._update(name, row, text_width)
        self._draw()

    def stop(self) -> None:
        """Erase the bars."""
        _write(f"\r{CLEAR_REST}{CURSOR}")

    def _lay_out(self, rows: Collection[Row], width: int) -> int:
        """Choose the columns for this terminal width; return the maximum length of a text."""
        text = max(len(printable(row[0])) for row in rows)
        # Leave the terminal's last column free: some terminals wrap a line that fills it.
        room = width - 1 - OTHERS - max(len(row[3]) for row in rows)
        self._bar.bar_width = min(BAR_WIDTH, room - text)
        if self._bar.bar_width >= BAR_LEAST:
            self._progress.columns = (*self._before_bar, self._bar, *self._after_bar)
            return text
        self._progress.columns = (*self._before_bar, *self._after_bar)
        return max(min(text, room + 1), TEXT_LEAST)

    def _update(self, name: str, row: Row, text_width: int) -> None:
        text, done, total, share = row
        text = printable(text)
        if len(text) > text_width:
            text = text[: text_width - 1] + ELLIPSIS
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task("", total=None, share="")
        self._progress.update(
            self._tasks[name], description=text, completed=done or 0, total=total, share=share
        )

    def _draw(self) -> None:
        """Write the rows, and leave the cursor at the start of the first row.

        The cursor stays there when a resize makes the terminal rewrap lines, so erasing from the
        cursor onwards always erases all rows and nothing else.
        """
        console = self._progress.console
        with console.capture() as picture:
            console.print(self._progress.get_renderable())
        rows = picture.get().splitlines()
        up = f"\x1b[{len(rows) - 1}A" if len(rows) > 1 else ""
        drawn = "\n".join(rows)
        _write(f"{NO_CURSOR}{NO_WRAP}\r{CLEAR_REST}{drawn}{up}\r{WRAP}")


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _format_share(done: int | None, total: int | None, *, are_bytes: bool) -> str:
    """Return `12 MB / 50 MB` or `24 %`; if the total is unknown, `12 MB` or an empty string."""
    if done is None or not total:
        return format_bytes(done) if done and are_bytes else ""
    if are_bytes:
        return f"{format_bytes(done)} / {format_bytes(total)}"
    return f"{100 * done // total} %"
