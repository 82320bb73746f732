"""The peak memory of a daemon and of every program below it, while something runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

LOOK_EACH_S = 0.02
"""The kernel keeps each process's peak (VmHWM); one that ends between two looks loses this much."""


@contextlib.contextmanager
def watched_peaks(daemon: int) -> Iterator[dict[str, float]]:
    """Fill a dictionary with the peak, in MiB, of each program by its name, for a block."""
    _forget_peak(daemon)
    peaks: dict[str, float] = {}
    is_over = threading.Event()

    def watch() -> None:
        while True:
            _look(daemon, peaks, is_daemon=True)
            if is_over.wait(LOOK_EACH_S):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        is_over.set()
        watcher.join()


def _look(pid: int, peaks: dict[str, float], *, is_daemon: bool) -> None:
    with contextlib.suppress(OSError, KeyError):
        folder = Path(f"/proc/{pid}")
        status = (folder / "status").read_text("utf-8", "replace")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        peak_mib = int(fields["VmHWM"].split()[0]) / 1024
        name = "daemon" if is_daemon else _name_of(folder)
        if name:  # else it has ended meanwhile
            peaks[name] = max(peaks.get(name, 0), peak_mib)
        for task in (folder / "task").iterdir():
            for child in (task / "children").read_text("ascii").split():
                _look(int(child), peaks, is_daemon=False)


def _name_of(folder: Path) -> str:
    words = (folder / "cmdline").read_bytes().split(b"\0")
    if b"banger.images.layers" in words:
        return "reader of layers"
    # Between its fork and its exec a program is a copy of the daemon.
    return "daemon" if b"banger.daemon" in words else Path(words[0].decode()).name


def _forget_peak(pid: int) -> None:
    """Begin anew with what it has now; proc(5), clear_refs."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", "ascii")
