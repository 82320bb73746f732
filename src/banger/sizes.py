"""Sizes as people write them (`2048`, `8G`) and read them (`2.75 GiB`): powers of 1024. Pure."""

from __future__ import annotations

import re

_SIZE = r"([0-9]{1,9})(|mi?b?|gi?b?|ti?b?)"
"""Compiled when it is first needed, since every command loads this module."""
_FACTORS = {"": 1, "m": 1, "g": 1024, "t": 1024 * 1024}


def parse_size_mib(untrusted_text: str) -> int | None:
    """Return MiB, or None if the text is not a size of at least 1 MiB."""
    match = re.fullmatch(_SIZE, untrusted_text, re.IGNORECASE)
    if not match or int(match[1]) == 0:
        return None
    return int(match[1]) * _FACTORS[match[2][:1].lower()]


def format_size(mib: int) -> str:
    """Format a size in the largest unit that fits at least once."""
    for unit, factor in (("TiB", 1024 * 1024), ("GiB", 1024)):
        if mib >= factor:
            return f"{mib / factor:.4g} {unit}"
    return f"{mib} MiB"
