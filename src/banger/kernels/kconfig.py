"""What a kernel's configuration offers, compared with what a guest needs. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from banger.kernels.catalogue import Need

_LINE = re.compile(r"CONFIG_([A-Za-z0-9_]{1,100})=([ym])")


def parse_kconfig(untrusted_text: str) -> dict[str, str]:
    """Return the options that are `y` or `m`; everything else does not matter here."""
    lines = (_LINE.fullmatch(line.strip()) for line in untrusted_text.splitlines())
    return {line[1]: line[2] for line in lines if line}


def plan_modules(
    needs: Iterable[Need], options: dict[str, str], *, has_module: Callable[[str], bool]
) -> tuple[list[str], list[str]]:
    """Return the modules to load for the needs, and a line for each need that is not met."""
    wanted: list[str] = []
    lacking: list[str] = []
    for need in needs:
        setting = options.get(need.option)
        if setting == "m" and need.module and has_module(need.module):
            wanted.append(need.module)
        elif setting != "y":
            what = "is not set" if setting is None else f"has no module {need.module}"
            lacking.append(f"CONFIG_{need.option} {what} (for {need.purpose})")
    return wanted, lacking
