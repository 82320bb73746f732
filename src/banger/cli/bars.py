"""The live display of a stage: its own bar, and one for each part that goes on side by side.

Writes to stderr, which is a terminal; takes its last lines, and leaves them empty. `rich` is
imported with this module, so whoever draws imports it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from banger.cli.output import format_bytes, printable

BAR_WIDTH = 24
ROWS_KEPT = 2
"""Of the terminal, for the stage's own bar and the cursor."""

Part = tuple[str, int, int]
"""A part's name, how many bytes of it are done, and how many there are."""


class Bars:
    """The bars of one stage, from its first look until `stop`."""

    def __init__(self) -> None:
        # rich itself honours NO_COLOR. Names come from the daemon, so no markup is parsed.
        uncut = Column(no_wrap=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=BAR_WIDTH, table_column=uncut),
            TextColumn("{task.fields[share]}", markup=False, table_column=uncut),
            TimeElapsedColumn(table_column=uncut),
            console=Console(file=sys.stderr),
            auto_refresh=False,
            transient=True,
        )
        self._stage = self._progress.add_task("", total=None, share="")
        self._parts: dict[str, TaskID] = {}
        self._progress.start()

    def show(
        self, stage: str, done: int | None, total: int | None, parts: Sequence[Part] = ()
    ) -> None:
        """Draw how far the stage is, and as many of its parts as there is room for."""
        fits = max(self._progress.console.height - ROWS_KEPT, 0)
        shown = {name: (done, total) for name, done, total in parts[:fits]}
        for name in self._parts.keys() - shown.keys():
            self._progress.remove_task(self._parts.pop(name))
        share = _format_share(done, total, are_bytes=bool(parts))
        self._update(self._stage, stage, done or 0, total, share)
        for name, (size, whole) in shown.items():
            if name not in self._parts:
                self._parts[name] = self._progress.add_task("", total=None, share="")
            share = _format_share(size, whole, are_bytes=True)
            self._update(self._parts[name], f"  {name}", size, whole, share)
        self._progress.refresh()

    def stop(self) -> None:
        """Erase them."""
        self._progress.stop()

    def _update(self, task: TaskID, text: str, done: int, total: int | None, share: str) -> None:
        self._progress.update(
            task, description=printable(text), completed=done, total=total, share=share
        )


def _format_share(done: int | None, total: int | None, *, are_bytes: bool) -> str:
    """Return `12 MB / 50 MB`, `24 %`, or nothing where it cannot be counted."""
    if done is None or not total:
        return ""
    if are_bytes:
        return f"{format_bytes(done)} / {format_bytes(total)}"
    return f"{100 * done // total} %"
