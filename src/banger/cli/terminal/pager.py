"""Long text on a terminal: coloured, and through the user's pager.

`BANGER_PAGER`, else `PAGER`, names the pager; empty or `cat` means none, and without either it is
`less`, which leaves text of one page on the screen. Colours follow NO_COLOR.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterable, Iterator

RED, GREEN, CYAN, BOLD, PLAIN = b"\x1b[31m", b"\x1b[32m", b"\x1b[36m", b"\x1b[1m", b"\x1b[m"
_HEADINGS = (
    b"diff ",
    b"index ",
    b"--- ",
    b"+++ ",
    b"rename ",
    b"new ",
    b"deleted ",
    b"similarity ",
)
_COLOURS = ((b"@@", CYAN), (b"+", GREEN), (b"-", RED))
_WORDS = re.compile(rb"\[-.*?-\]|\{\+.*?\+\}")


def page(lines: Iterable[bytes], *, use_pager: bool = True) -> None:
    """Write lines to the pager, or to stdout if there is none; end quietly when it is quit."""
    argv = _find_pager() if use_pager else []
    # A pager that is quit early is no error, and neither is a terminal that went away.
    with contextlib.suppress(BrokenPipeError), _open(argv) as fd:
        for line in lines:
            _write_all(fd, line + b"\n")


def colour(line: bytes) -> bytes:
    """Return a line of a patch with colours."""
    if line.startswith(_HEADINGS):
        return BOLD + line + PLAIN
    for start, chosen in _COLOURS:
        if line.startswith(start):
            return chosen + line + PLAIN
    return line


def colour_words(line: bytes) -> bytes:
    """Return a line of a patch by words with colours."""
    if line.startswith(_HEADINGS):
        return BOLD + line + PLAIN
    return _WORDS.sub(lambda m: (RED if m[0][:1] == b"[" else GREEN) + m[0] + PLAIN, line)


@contextlib.contextmanager
def _open(argv: list[str]) -> Iterator[int]:
    if not argv:
        yield 1
        return
    from banger.host.programs import feed

    with feed(argv, env={"LESS": "FRX", **os.environ}) as fd:
        yield fd


def _find_pager() -> list[str]:
    """Return the pager's argument list; empty if there is none."""
    named = os.environ.get("BANGER_PAGER", os.environ.get("PAGER"))
    try:
        argv = ["less"] if named is None else shlex.split(named)
    except ValueError:
        return []
    from banger.host.programs import find_tool

    return argv if argv and argv != ["cat"] and find_tool(argv[0]) else []


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
