"""The daemon's log: one line per event, `key=value`, bounded by rotation.

    2026-01-31T12:00:00.123Z INFO op=op-1f2e3d4c5b6a banger.daemon.dispatch: vm.create ok ms=12

Standard `logging`, with the operation's ID from a context variable, so that every line logged by a
verb carries the ID, in threads too. Values of a request are never logged, only names of methods
(hazard G6). Writes `layout.daemon_log` and up to three rotated logs of 4 MiB each, mode 0600.
"""

from __future__ import annotations

import io
import logging
import os
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from banger.engine.state.operations import current_operation

LOG_BYTES = 4 * 1024 * 1024
OLD_LOGS = 3


class LineFormatter(logging.Formatter):
    """Formats a record as one line, followed by the indented lines of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        # A line break in a value must not look like a new event.
        text = text.replace("\n", "\n    ")
        operation = current_operation.get()
        return (
            f"{clock}.{int(record.msecs):03d}Z {record.levelname} op={operation} "
            f"{record.name}: {text}"
        )


class _PrivateLog(RotatingFileHandler):
    def _open(self) -> io.TextIOWrapper:
        return open(
            self.baseFilename, "a", encoding="utf-8", errors="backslashreplace", opener=_private
        )


def start_logging(log_file: Path, *, level: str, foreground: bool) -> None:
    """Log records of `level` and above to `log_file`; in the foreground, also to stderr."""
    handlers: list[logging.Handler] = [
        _PrivateLog(log_file, maxBytes=LOG_BYTES, backupCount=OLD_LOGS)
    ]
    if foreground:
        handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)
    # asyncio's debug messages and every QMP message would fill the log in a day.
    for noisy in ("asyncio",):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
