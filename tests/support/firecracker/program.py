"""The stand-in as a program of its own, to be started where Firecracker is."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.artifacts import CHECKOUT

NAME = "firecracker"
"""Of the file, and so of the process."""


def write_program(directory: Path, *, agent: Path, version: str) -> Path:
    """Write a program that is this version of Firecracker with this agent as its guest."""
    path = directory / NAME
    lines = [
        f"#!{sys.executable}",
        "import sys",
        f"sys.path[:0] = [{str(CHECKOUT)!r}, {str(CHECKOUT / 'src')!r}]",
        "from tests.support.firecracker.__main__ import run",
        f"run([*sys.argv[1:], '--says', {version!r}, '--agent', {str(agent)!r}])",
    ]
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path
