"""Bug reports: files that describe an error which should be impossible.

The daemon and the command line write them. A report contains the traceback, the
versions and the operation, never values of a request (hazard G6). Writes one file in
`layout.reports`, mode 0600. Standard library only; imported only after a bug.
"""

from __future__ import annotations

import os
import platform
import time
import traceback
from pathlib import Path

from banger.errors import InternalError
from banger.host.files import ensure_private_dir
from banger.version import VERSION

KEPT = 50


def report_bug(error: BaseException, *, reports: Path, what: str, name: str) -> InternalError:
    """Write the report `name` and return an error with its path; never raise."""
    text = (
        f"banger {VERSION}, Python {platform.python_version()}, {platform.platform()}\n"
        f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {what} pid {os.getpid()}\n\n"
        + "".join(traceback.format_exception(error))
    )
    path = write_report(reports, name, text)
    if path is None:
        return InternalError(
            f"{what} hit a bug in banger ({type(error).__name__}), and no report could be written.",
            details=text,
        )
    return InternalError(
        f"{what} hit a bug in banger ({type(error).__name__}). A report was written to {path}."
    )


def write_report(reports: Path, name: str, text: str) -> Path | None:
    """Write the report `name` and return its path; None if the file system refuses."""
    path = reports / f"{name}.txt"
    try:
        ensure_private_dir(reports)
        _drop_oldest(reports)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return None
    return path


def _drop_oldest(reports: Path) -> None:
    """Delete the oldest reports, so that a bug in a loop does not fill the disk."""
    found = sorted(reports.glob("*.txt"), key=lambda path: path.stat().st_mtime)
    for path in found[: -KEPT + 1]:
        path.unlink(missing_ok=True)
