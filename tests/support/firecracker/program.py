"""The stand-in as a program of its own, to be started where Firecracker is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.artifacts import CHECKOUT

NAME = "firecracker"
"""Of the file, and so of the process."""
INSTEAD = "instead"
"""Of a file beside it, with what it answers instead."""
_ARGUMENTS = slice(47, 49)
"""In /proc/self/stat, from field 1: where the arguments are (proc_pid_stat(5))."""


def write_program(directory: Path, *, agent: Path, version: str) -> Path:
    """Write a program that is this version of Firecracker with this agent as its guest."""
    path = directory / NAME
    lines = [
        f"#!{sys.executable}",
        "import sys",
        f"sys.path[:0] = [{str(CHECKOUT)!r}, {str(CHECKOUT / 'src')!r}]",
        "from tests.support.firecracker.program import take_name",
        "take_name(sys.argv)",
        "from tests.support.firecracker.__main__ import run",
        f"own = ['--says', {version!r}, '--agent', {str(agent)!r}]",
        f"run([*sys.argv[1:], *own, '--instead', {str(directory / INSTEAD)!r}])",
    ]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


def take_name(words: Sequence[str]) -> None:
    """Have `ps` show these words as the command, and no interpreter before them.

    By them the product finds what has no record. They are shorter than what is there.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = map(int, (["", "", *fields])[_ARGUMENTS])
    text = b"\0".join(word.encode() for word in words) + b"\0"
    assert len(text) <= end - start
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(start)
        memory.write(text.ljust(end - start, b"\0"))
