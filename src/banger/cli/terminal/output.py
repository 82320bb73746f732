"""Output formats: tables that fit the terminal, JSON, sizes, ages, and escaped guest text."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

ELLIPSIS = "~"
GAP = "  "
NARROW_GAP = " "


class Column:
    """A table's column. `least`: minimum width when truncated (0: never truncated).

    `is_vital`: truncate only when no other column can be truncated or omitted. `spare`: order in
    which columns are omitted from a table that is too wide, smallest first (0: never).
    """

    __slots__ = ("is_number", "is_vital", "least", "spare", "title")

    def __init__(
        self,
        title: str,
        *,
        least: int = 0,
        is_number: bool = False,
        is_vital: bool = False,
        spare: int = 0,
    ) -> None:
        self.title = title
        self.least = least
        self.is_number = is_number
        self.is_vital = is_vital
        self.spare = spare


def render_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], *, width: int | None
) -> str:
    """Return the table; with `width`, narrow the gaps, then truncate columns, until it fits."""
    lines = [[column.title for column in columns], *([*map(printable, row)] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    if width is None or _total(widths, GAP) <= width:
        return _align(lines, columns, widths, gap=GAP)
    kept, widths = _fit(columns, widths, width)
    shown = [columns[i] for i in kept]
    cut = [[shorten(line[i], w) for i, w in zip(kept, widths, strict=True)] for line in lines]
    return _align(cut, shown, widths, gap=NARROW_GAP)


def _fit(
    columns: Sequence[Column], natural: Sequence[int], width: int
) -> tuple[list[int], list[int]]:
    """Return the indexes and widths of the columns to show."""
    kept = list(range(len(columns)))
    spare = sorted((i for i in kept if columns[i].spare), key=lambda i: columns[i].spare)
    while True:
        widths = [natural[i] for i in kept]
        _shrink(widths, [columns[i] for i in kept], width, vital=False)
        if _total(widths, NARROW_GAP) <= width or not spare:
            break
        kept.remove(spare.pop(0))
    _shrink(widths, [columns[i] for i in kept], width, vital=True)
    return kept, widths


def _total(widths: Sequence[int], gap: str) -> int:
    return sum(widths) + len(gap) * (len(widths) - 1)


def shorten(text: str, length: int) -> str:
    """Return a text of at most this many characters; one that was cut ends with `ELLIPSIS`."""
    return text if len(text) <= length else text[: length - 1] + ELLIPSIS


def terminal_width() -> int | None:
    """Return the width of the terminal on stdout; None (no truncation) if not a terminal."""
    if not sys.stdout.isatty():
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80


def format_json(value: object, *, indent: int | None = 2) -> str:
    """Return a value as one JSON document; without `indent`, on one line.

    Times, which the daemon sends as seconds of the epoch (`..._at`), are formatted as RFC 3339.
    """
    import json

    return json.dumps(_with_times(value), indent=indent, ensure_ascii=True)


def _with_times(value: object) -> object:
    if isinstance(value, list):
        return [_with_times(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: format_time(item)
        if key.endswith("_at") and isinstance(item, float)
        else _with_times(item)
        for key, item in value.items()
    }


def format_time(epoch_s: float) -> str:
    """Return a time in RFC 3339 format: `2026-01-31T12:00:00.250Z`."""
    whole, milliseconds = divmod(int(epoch_s * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"


def format_mib(mib: int) -> str:
    """Return a size: `512M`, `8G`, `1.5G`."""
    return f"{mib}M" if mib < 1024 else f"{mib / 1024:.4g}G"


def format_bytes(size: int) -> str:
    """Return a size: `820 B`, `12 KB`, `3.4 MB`."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("KB", "MB", "GB"):
        value /= 1000
        if value < 1000 or unit == "GB":
            break
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def format_age(seconds: float) -> str:
    """Return an age: `12s`, `5m`, `3h`, `9d`."""
    seconds = max(seconds, 0)
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "m"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // divisor)}{unit}"
    return f"{int(seconds // 86400)}d"


def printable(text: str) -> str:
    """Return `text` with all non-printable characters escaped (hazard E3)."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii") if ord(char) < 0xD800 else "?"


def _shrink(widths: list[int], columns: Sequence[Column], width: int, *, vital: bool) -> None:
    """Narrow the widest column that may be truncated, repeatedly, until the line fits."""
    able = [i for i, c in enumerate(columns) if c.least and c.is_vital == vital]
    while _total(widths, NARROW_GAP) > width:
        candidates = [i for i in able if widths[i] > columns[i].least]
        if not candidates:
            return
        widths[max(candidates, key=lambda i: widths[i])] -= 1


def _align(
    lines: Sequence[Sequence[str]], columns: Sequence[Column], widths: Sequence[int], *, gap: str
) -> str:
    line = gap.join(
        f"%{width}s" if column.is_number else f"%-{width}s"
        for column, width in zip(columns, widths, strict=True)
    )
    return "\n".join((line % tuple(cells)).rstrip() for cells in lines)
