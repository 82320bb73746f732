"""Logs that other processes append to: their last lines, what is added to them, and cutting them.

A log that has grown too long is cut in place, since its writer has it open for appending: the
end is kept behind a line that says how many bytes of the log are gone. That line lets a reader go
on exactly where it was, or tells that bytes were missed. The writer of the log can forge the line,
which only confuses the readers of that log.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

BLOCK = 65536
CUT = "[banger: the log grew too long; its first {} bytes were cut off]\n"
_CUT_LINE = re.compile(re.escape(CUT.encode()).replace(rb"\{\}", rb"([0-9]{1,18})"))


class _Beginning(NamedTuple):
    """How many bytes of a log are gone, and the length of the line that says so."""

    cut: int
    length: int


@dataclass
class LogReader:
    """A place in a log. Every read opens the file anew, so the file may come later, or go."""

    path: Path
    position: int = 0
    """Bytes of the log before this place, those that were cut off included."""

    @classmethod
    def at(cls, path: Path, offset: int | None = None) -> Self:
        """Return a reader of what follows an offset of the file, by default its end."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return cls(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            beginning = _read_beginning(fd)
            end = os.fstat(fd).st_size if offset is None else offset
        finally:
            os.close(fd)
        # Before the end of the line nothing of the log was read.
        return cls(path, end - beginning.length + beginning.cut if end >= beginning.length else 0)

    def read(self) -> bytes:
        """Return the next bytes, at most `BLOCK`; none at the log's end.

        If bytes were cut off before this reader has read them, the line that says so comes first.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return b""
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            return self._read(fd)
        finally:
            os.close(fd)

    def _read(self, fd: int) -> bytes:
        beginning, size = _read_beginning(fd), os.fstat(fd).st_size
        if self.position < beginning.cut:
            self.position = beginning.cut
            return os.pread(fd, beginning.length, 0)
        offset = self.position - beginning.cut + beginning.length
        if offset > size > 0:  # a log that was begun anew
            self.position = offset = 0
        data = os.pread(fd, BLOCK, offset)
        self.position += len(data)
        return data


def cut_log(path: Path, *, limit_bytes: int, kept_bytes: int) -> None:
    """Keep only the last `kept_bytes` of a log that is longer than `limit_bytes`.

    What is appended at this moment may be lost.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        size = os.fstat(fd).st_size
        if size > limit_bytes:
            beginning = _read_beginning(fd)
            gone = beginning.cut + size - kept_bytes - beginning.length
            kept = os.pread(fd, kept_bytes, size - kept_bytes)
            shorter = CUT.format(gone).encode() + kept
            # In this order nothing that the writer appends comes before the line.
            os.pwrite(fd, shorter, 0)
            os.ftruncate(fd, len(shorter))
    finally:
        os.close(fd)


def _read_beginning(fd: int) -> _Beginning:
    line = _CUT_LINE.match(os.pread(fd, 128, 0))
    return _Beginning(0, 0) if line is None else _Beginning(int(line[1]), line.end())


def find_tail(path: Path, lines: int) -> int:
    """Return the offset at which the last `lines` lines begin; 0 if there are no more.

    A last line without a newline counts as a line.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        return 0
    with file:
        end = file.seek(0, os.SEEK_END)
        if lines == 0:
            return end
        missing = lines
        for start in range(max(end - BLOCK, 0), -BLOCK, -BLOCK):
            file.seek(max(start, 0))
            block = file.read(min(BLOCK, start + BLOCK))
            # The newline at the end of the file begins no line.
            edge = len(block) - (max(start, 0) + len(block) == end)
            while (edge := block.rfind(b"\n", 0, edge)) >= 0:
                missing -= 1
                if missing == 0:
                    return max(start, 0) + edge + 1
    return 0
