"""The host's available memory, and the memory that a process has taken. Reads /proc only."""

from __future__ import annotations

from pathlib import Path

from banger.host.identity import ProcessIdentity, is_alive


def read_available_mib() -> int:
    """Return the kernel's estimate of the memory available without swapping (MemAvailable)."""
    return _read_kib(Path("/proc/meminfo"), "MemAvailable") // 1024


def read_taken_mib(identity: ProcessIdentity) -> int:
    """Return a process's anonymous memory (RssAnon); 0 if the process is gone.

    Pages of files, such as those of a template's memory that a clone has not written, do not
    count: for the kernel they are available.
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
