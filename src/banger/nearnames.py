"""Near names: the known word that a mistyped word probably stands for. Pure.

Imported only after a lookup has failed, never by a command that succeeds.
"""

from __future__ import annotations

from collections.abc import Iterable

ALIKE = 0.7
"""Least similarity, as difflib's ratio. At 0.6 `top` matched `stop`."""
LENGTH_MAX = 100
"""Longer words are not compared: the comparison takes quadratic time."""


def find_near(untrusted_word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, or None: a word that differs by a typo, or
    the only word with this prefix.
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
