"""How changes are shown to people."""

from __future__ import annotations

from enum import StrEnum


class DiffStyle(StrEnum):
    """The form of a diff."""

    PATCH = "patch"
    STAT = "stat"
    """Numbers of changed lines, by file."""
    WORD = "word"
    """`[-old-]` and `{+new+}` within lines."""
