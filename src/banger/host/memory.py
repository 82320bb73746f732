"""How much memory the host has left, and how much of it a process has taken. Reads /proc only."""

from __future__ import annotations

from pathlib import Path

from banger.host.identity import ProcessIdentity, is_alive


def read_available_mib() -> int:
    """Return what the kernel thinks new programs can have without swapping (MemAvailable)."""
    return _read_kib(Path("/proc/meminfo"), "MemAvailable") // 1024


def read_taken_mib(identity: ProcessIdentity) -> int:
    """Return the memory that a process has for itself (RssAnon); 0 if it is gone.

    Pages of files, such as what a clone has not written of its template's memory, are not part
    of it: the kernel counts them as available.
    """
    if not is_alive(identity):
        return 0
    try:
        return _read_kib(Path(f"/proc/{identity.pid}/status"), "RssAnon") // 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _read_kib(path: Path, name: str) -> int:
    for line in path.read_text("ascii", "replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0  # a zombie's status has no memory
