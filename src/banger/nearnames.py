"""Near names: which known word a mistyped one was probably meant to be. Pure.

Loaded only where something was not found, never on the way to a command that works.
"""

from __future__ import annotations

from collections.abc import Iterable

ALIKE = 0.7
"""Share of letters in common, as difflib counts. At 0.6 `top` was taken for `stop`."""
LENGTH_MAX = 100
"""Longer words are compared with nothing: the comparison takes the square of their length."""


def find_near(untrusted_word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant: one with a slip, or the only one that
    begins like it; None if there is none.
    """
    import difflib

    word = untrusted_word.lower()
    if not word or len(word) > LENGTH_MAX:
        return None
    by_lower = {name.lower(): name for name in known if len(name) <= LENGTH_MAX}
    near = difflib.get_close_matches(word, by_lower, n=1, cutoff=ALIKE)
    near = near or [name for name in by_lower if sorted(name) == sorted(word)]
    if not near and len(word) >= 3:
        begun = [name for name in by_lower if name.startswith(word)]
        near = begun if len(begun) == 1 else []
    return by_lower[near[0]] if near else None


def format_near_hint(untrusted_word: str, known: Iterable[str], *, see: str) -> str:
    """Return a hint: the near name, and `see`, the command that shows all names."""
    near = find_near(untrusted_word, known)
    return f"did you mean {near}? ({see} shows all)" if near else see
