"""Where the last lines of a file begin. Reads the file from its end."""

from __future__ import annotations

import os
from pathlib import Path

BLOCK = 65536


def find_tail(path: Path, lines: int) -> int:
    """Return the offset at which the last `lines` lines begin; 0 if there are no more.

    A last line without a line break counts as a line.
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
            # The break that ends the file begins no line.
            edge = len(block) - (max(start, 0) + len(block) == end)
            while (edge := block.rfind(b"\n", 0, edge)) >= 0:
                missing -= 1
                if missing == 0:
                    return max(start, 0) + edge + 1
    return 0
