"""Ask a question on the terminal. Holds nothing."""

from __future__ import annotations

import sys


def ask(question: str) -> bool:
    """Return whether the user says yes; stdin is a terminal."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
