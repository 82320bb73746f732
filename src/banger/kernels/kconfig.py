"""Compare a kernel's configuration with what a guest needs. Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from banger.kernels.catalogue import Need

_LINE = re.compile(r"CONFIG_([A-Za-z0-9_]{1,100})=([ym])")
EMBEDDED = re.compile(rb"IKCFG_ST(?P<gzip>\x1f\x8b.{1,1048576}?)IKCFG_ED", re.DOTALL)
"""How a kernel that was built with IKCONFIG carries its configuration (kernel/configs.c)."""
CONFIG_BYTES_MAX = 4 * 1024 * 1024


@dataclass
class Fit:
    """How a kernel fits: what is to be loaded, and a line for each thing that it lacks."""

    modules: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    """Without these it cannot be used."""
    missed: list[str] = field(default_factory=list)
    """Guests run without these."""


def parse_kconfig(untrusted_text: str) -> dict[str, str]:
    """Return the options that are `y` or `m`; everything else does not matter here."""
    lines = (_LINE.fullmatch(line.strip()) for line in untrusted_text.splitlines())
    return {line[1]: line[2] for line in lines if line}


def find_kconfig(untrusted_kernel: bytes) -> str | None:
    """Return the configuration that an unpacked kernel carries, or None."""
    found = EMBEDDED.search(untrusted_kernel)
    if found is None:
        return None
    try:
        plain = zlib.decompressobj(wbits=31).decompress(found["gzip"], CONFIG_BYTES_MAX)
    except zlib.error:
        return None
    return plain.decode("utf-8", "replace")


def plan_modules(
    needs: Iterable[Need], options: dict[str, str], *, has_module: Callable[[str], bool]
) -> Fit:
    """Compare a configuration with the needs."""
    fit = Fit()
    for need in needs:
        setting = options.get(need.option)
        if setting == "m" and need.module and has_module(need.module):
            fit.modules.append(need.module)
        elif setting != "y":
            what = "is not set" if setting is None else f"has no module {need.module}"
            line = f"CONFIG_{need.option} {what} (for {need.purpose})"
            (fit.lacking if need.required else fit.missed).append(line)
    return fit
