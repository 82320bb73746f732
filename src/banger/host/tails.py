"""Logs of other processes: find the last lines, and follow new ones."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

BLOCK = 65536


@dataclass
class LogReader:
    """A position in a log. Each read reopens the file, which may appear later or disappear."""

    path: Path
    offset: int = 0

    @classmethod
    def at_end(cls, path: Path) -> Self:
        """Return a reader of lines added from now on."""
        with contextlib.suppress(FileNotFoundError):
            return cls(path, path.stat().st_size)
        return cls(path)

    def read(self) -> bytes:
        """Return the next bytes, at most `BLOCK`; b"" at the log's end.

        A log that was truncated is read from its beginning, which notes the truncation.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return b""
        try:
            if os.fstat(fd).st_size < self.offset:
                self.offset = 0
            data = os.pread(fd, BLOCK, self.offset)
        finally:
            os.close(fd)
        self.offset += len(data)
        return data


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
