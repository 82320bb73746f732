"""Durations as people write them: `90s`, `10m`, `2h`, `3d`. Pure."""

from __future__ import annotations

import re

_DURATION = r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(|s|m|h|d)"
"""Compiled when it is first needed, since every command loads this module."""
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(untrusted_text: str) -> float | None:
    """Return seconds for `90`, `1.5s`, `10m`, `2h`; None if the text is no duration, or zero."""
    match = re.fullmatch(_DURATION, untrusted_text)
    return float(match[1]) * _SECONDS[match[2]] or None if match else None


def format_duration(seconds: float) -> str:
    """Format a duration as a whole number of the largest unit possible."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.12g}s"
