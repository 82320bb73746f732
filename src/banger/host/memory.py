"""How much memory the host has left. Reads /proc/meminfo."""

from __future__ import annotations

from pathlib import Path


def probe_available_mib() -> int:
    """Return what programs can get without swapping; 0 if the kernel does not tell."""
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0
