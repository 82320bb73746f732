"""Sizes as messages have them: `512 MiB`, `8 GiB`, `2.75 GiB`. Pure."""

from __future__ import annotations


def format_size(mib: int) -> str:
    """Return a size in the largest unit of which it has at least one."""
    for unit, factor in (("TiB", 1024 * 1024), ("GiB", 1024)):
        if mib >= factor:
            return f"{mib / factor:.4g} {unit}"
    return f"{mib} MiB"
