"""Check a patch from a guest while it passes. Pure, incremental, bounded.

A guest may send anything (hazard E1). `PatchChecker.feed` takes the bytes as they come and
returns those that are known to be safe: a file's headers are held back until they
are complete and checked, its content passes. The grammar is the exact one of
`git diff-index -p --binary --full-index`; whatever it does not allow ends the export:

    section  = "diff --git a/X b/X" header* [text | binary]
    text     = "--- a/X" "+++ b/X" hunk+
    hunk     = "@@ -l,n +l,n @@..." then exactly n old and n new lines
    binary   = "GIT binary patch" data [data]
    data     = ("literal" | "delta") N, lines of base 85, an empty line
"""

from __future__ import annotations

import re
from enum import Enum, auto

from banger.errors import UnsafePatch
from banger.workspace.patchsection import Ledger, Section
from banger.workspace.quoting import parse_whole_name

LINE_BYTES_MAX = 64 * 1024
"""Of a header line: two quoted names of PATH_MAX fit. Content lines have no limit."""
SECTION_BYTES_MAX = 4 * LINE_BYTES_MAX

_HUNK = re.compile(
    rb"@@ -[0-9]{1,9}(?:,(?P<old>[0-9]{1,9}))? \+[0-9]{1,9}(?:,(?P<new>[0-9]{1,9}))? @@(?: .*)?",
    re.DOTALL,
)
_DATA = re.compile(rb"(?:literal|delta) [0-9]{1,15}")
_BASE85 = re.compile(rb"[A-Za-z](?:[0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{5}){1,13}")
_DIFF = b"diff --git "


class _State(Enum):
    START = auto()
    """Before the first file."""
    HEADER = auto()
    PLUS = auto()
    """After `---`."""
    FIRST_HUNK = auto()
    HUNK = auto()
    AFTER_HUNK = auto()
    FIRST_DATA = auto()
    DATA = auto()
    AFTER_DATA = auto()
    LAST_DATA = auto()
    NEXT_FILE = auto()
    """Only another file may follow."""


class PatchChecker:
    """Lets a patch through as far as it is safe.

    `existing_symlinks` are the names of symbolic links in the prepared commit.
    """

    def __init__(self, existing_symlinks: frozenset[bytes] = frozenset()) -> None:
        self._ledger = Ledger(existing_symlinks)
        self._state = _State.START
        self._section = Section(b"")
        self._held = bytearray()
        self._ready = bytearray()
        self._line = bytearray()
        self._in_content = False
        self._old = self._new = 0

    def feed(self, untrusted_chunk: bytes) -> bytes:
        """Take the next bytes; return what may be handed on.

        Raises:
            UnsafePatch: the patch is no patch of git's, or not safe to apply.
        """
        passed = bytearray()
        start = 0
        while start < len(untrusted_chunk):
            end = untrusted_chunk.find(b"\n", start) + 1
            whole = end > 0
            part = untrusted_chunk[start : end if whole else len(untrusted_chunk)]
            start += len(part)
            passed += self._take(part, whole=whole)
        return bytes(passed)

    def finish(self) -> bytes:
        """Return what is left at the end.

        Raises:
            UnsafePatch: the patch ends in the middle of something.
        """
        complete = (_State.START, _State.AFTER_HUNK, _State.NEXT_FILE, _State.AFTER_DATA)
        if self._line or self._in_content:
            raise _malformed("it ends within a line")
        if self._state is _State.HEADER:
            self._enter()
        elif self._state not in complete:
            raise _malformed("it ends within a file")
        self._approve()
        return self._release()

    def _take(self, part: bytes, *, whole: bool) -> bytes:
        """Take a line or a piece of one; return what may pass."""
        if self._in_content:
            self._in_content = not whole
            return part
        if self._state is _State.HUNK and not self._line and part[:1] != b"\\":
            # Content needs no more than its first byte, and may be one endless line.
            self._content(part[:1])
            self._in_content = not whole
            return part
        self._line += part
        if len(self._line) > LINE_BYTES_MAX:
            raise _malformed("a header line is too long")
        if not whole:
            return b""
        line = bytes(self._line)
        self._line.clear()
        self._header(line[:-1])
        self._held += line
        if len(self._held) > SECTION_BYTES_MAX:
            raise _malformed("a file's headers are too long")
        if self._state not in (_State.HEADER, _State.PLUS):
            self._approve()
        return self._release()

    def _approve(self) -> None:
        """Let the held headers go: they are complete and checked."""
        self._ready += self._held
        self._held.clear()

    def _release(self) -> bytes:
        ready = bytes(self._ready)
        self._ready.clear()
        return ready

    def _content(self, first: bytes) -> None:
        if first in (b" ", b"-"):
            self._old -= 1
        if first in (b" ", b"+"):
            self._new -= 1
        if first not in (b" ", b"-", b"+") or self._old < 0 or self._new < 0:
            raise _malformed("a hunk is not as long as it says")
        if self._old == self._new == 0:
            self._state = _State.AFTER_HUNK

    def _header(self, line: bytes) -> None:
        """Act on a whole line that is not content."""
        state = self._state
        match state:
            case _State.HEADER:
                self._in_header(line)
            case _State.PLUS:
                self._section.plus = _marked_name(line, b"+++ ")
                self._enter()
                self._state = _State.FIRST_HUNK
            case _State.HUNK:
                _require_no_newline_mark(line)
            case _State.FIRST_HUNK | _State.AFTER_HUNK if line.startswith(b"@@ "):
                self._hunk(line)
            case _State.AFTER_HUNK if line.startswith(b"\\"):
                _require_no_newline_mark(line)
            case _State.FIRST_DATA | _State.AFTER_DATA if _DATA.fullmatch(line):
                self._state = _State.DATA if state is _State.FIRST_DATA else _State.LAST_DATA
            case _State.DATA | _State.LAST_DATA:
                self._data(line)
            case _State.START | _State.AFTER_HUNK | _State.NEXT_FILE | _State.AFTER_DATA:
                self._begin(line)
            case _:
                raise _malformed(f"unexpected {line[:80]!r}")

    def _begin(self, line: bytes) -> None:
        if not line.startswith(_DIFF):
            raise _malformed(f"unexpected {line[:80]!r}")
        self._section = Section(line[len(_DIFF) :])
        self._state = _State.HEADER

    def _in_header(self, line: bytes) -> None:
        if self._section.take(line):
            return
        if line.startswith(b"--- "):
            self._section.minus = _marked_name(line, b"--- ")
            self._state = _State.PLUS
        elif line == b"GIT binary patch":
            self._enter()
            self._state = _State.FIRST_DATA
        else:
            self._enter()
            self._approve()
            self._begin(line)

    def _enter(self) -> None:
        self._ledger.enter(self._section)
        self._state = _State.NEXT_FILE

    def _hunk(self, line: bytes) -> None:
        match = _HUNK.fullmatch(line)
        if match is None:
            raise _malformed(f"bad hunk {line[:80]!r}")
        self._old = int(match["old"] or 1)
        self._new = int(match["new"] or 1)
        self._state = _State.HUNK
        if self._old == self._new == 0:
            raise _malformed("an empty hunk")

    def _data(self, line: bytes) -> None:
        if not line:
            last = self._state is _State.LAST_DATA
            self._state = _State.NEXT_FILE if last else _State.AFTER_DATA
        elif not _BASE85.fullmatch(line):
            raise _malformed("bad binary data")


def _marked_name(line: bytes, mark: bytes) -> bytes:
    """Return the name of a --- or +++ line; git ends one that holds a space with a tab."""
    text = line[len(mark) :]
    if not line.startswith(mark):
        raise _malformed(f"unexpected {line[:80]!r}")
    name = parse_whole_name(text.removesuffix(b"\t"))
    if name is None:
        raise _malformed(f"bad name {text[:80]!r}")
    return name


def _require_no_newline_mark(line: bytes) -> None:
    if line != b"\\ No newline at end of file":
        raise _malformed(f"unexpected {line[:80]!r}")


def _malformed(what: str) -> UnsafePatch:
    return UnsafePatch(f"What the guest sent is not a patch of git's: {what}.")
