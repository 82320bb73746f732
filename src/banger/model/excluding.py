"""Patterns of paths that are left out of workspaces, as in `.gitignore`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from banger.errors import InvalidRequest

PATTERNS_MAX = 100
PATTERN_MAX = 1000
"""Characters of a pattern."""


def is_pattern(untrusted_text: str) -> bool:
    """Tell whether a text can be a line of a `.gitignore` file that says something."""
    is_short = 0 < len(untrusted_text) <= PATTERN_MAX
    return is_short and untrusted_text.isprintable() and not untrusted_text.startswith("#")


def require_patterns(untrusted: Sequence[str]) -> None:
    """Check the patterns of a request.

    Raises:
        InvalidRequest: there are too many, or one is none.
    """
    if len(untrusted) > PATTERNS_MAX:
        raise InvalidRequest(f"At most {PATTERNS_MAX} patterns can be excluded.")
    for each in untrusted:
        if not is_pattern(each):
            raise InvalidRequest(f"{each!r:.200} is not a pattern of paths to exclude.")


def render_patterns(patterns: Sequence[str]) -> bytes:
    """Return the patterns as an ignore file."""
    return "".join(f"{each}\n" for each in patterns).encode()
