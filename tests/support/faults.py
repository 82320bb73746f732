"""Faults in a real daemon: the k-th file, process or database call of one request fails.

`arm_requests` makes the daemon look, before each request, for the file `arm` in a control
directory: `{"errno": 28, "k": 7, "only": ""}`. While that request runs, every call to the host
with the text `only` in its description is counted, and the k-th one fails with the errno.
Afterwards `calls` says how many there were, and which failed.

What counts: whatever raises an audit event of files, sockets and processes (PEP 578), the few
calls of `os` that raise none, and every statement of SQLite. The import of modules does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from banger.daemon import dispatch
from banger.store import database

EVENTS = frozenset(
    """open os.chmod os.listdir os.mkdir os.remove os.rename os.rmdir os.scandir os.truncate
    socket.__new__ socket.bind socket.connect subprocess.Popen""".split()
)
SILENT = "copy_file_range dup fsync ftruncate pidfd_open pipe pwrite sendfile write".split()
"""Calls of `os` that have no audit event."""
MODULES = (".py", ".pyc", ".so", "__pycache__")
SQLITE_ERRORS = {
    errno.ENOSPC: "SQLITE_FULL",
    errno.EIO: "SQLITE_IOERR_WRITE",
    errno.EMFILE: "SQLITE_CANTOPEN",
    errno.EPERM: "SQLITE_READONLY",
}
"""What SQLite makes of the kernel's errors; of ENOMEM Python makes a MemoryError."""


class Faults:
    """Counts the calls of one request and lets the k-th one fail."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = threading.local()
        self._armed = False
        self._number = self._k = 0
        self.errno = 0
        self._only = ""
        self.hit: str | None = None

    def arm(self, number: int, k: int, only: str) -> None:
        self.errno, self._k, self._number, self.hit = number, k, 0, None
        self._only = only
        self._armed = True

    def disarm(self) -> dict[str, Any]:
        self._armed = False
        return {"calls": self._number, "hit": self.hit}

    def is_due(self, what: str) -> bool:
        """Count a call; tell whether it is the one that fails."""
        if not self._armed or self._only not in what:
            return False
        with self._lock:
            self._number += 1
            due = self._number == self._k
            if due:
                self.hit = what
        return due

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._armed or event not in EVENTS or getattr(self._inside, "sqlite", False):
            return
        what = f"{event} {arguments[0] if arguments else ''}"
        if not what.endswith(MODULES) and self.is_due(what):
            self.fail(arguments[0] if arguments and isinstance(arguments[0], str) else None)

    def fail(self, path: str | None = None) -> None:
        raise OSError(self.errno, os.strerror(self.errno), path)

    def fail_sqlite(self) -> None:
        if self.errno == errno.ENOMEM:
            raise MemoryError
        failure = sqlite3.OperationalError(os.strerror(self.errno))
        failure.sqlite_errorname = SQLITE_ERRORS[self.errno]
        raise failure


def arm_requests(control: Path) -> None:
    """Arrange for faults in the requests of this process."""
    faults = Faults()
    sys.addaudithook(faults.audit)
    for name in SILENT:
        setattr(os, name, _failing(faults, name, getattr(os, name)))
    _wrap_sqlite(faults)
    _wrap_requests(faults, control)


def _failing(faults: Faults, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def failing(*args: Any, **named: Any) -> Any:
        # 1 and 2 are where a daemon of a test logs to.
        if not (args and args[0] in (1, 2)) and faults.is_due(f"os.{name}"):
            faults.fail()
        return call(*args, **named)

    return failing


def _wrap_sqlite(faults: Faults) -> None:
    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            if faults.is_due(f"sqlite {' '.join(sql.split())[:60]}"):
                faults.fail_sqlite()
            return super().execute(sql, *rest)

    connect = sqlite3.connect

    def connect_failing(*args: Any, **named: Any) -> sqlite3.Connection:
        return connect(*args, **{**named, "factory": Connection})

    database.sqlite3.connect = connect_failing  # type: ignore[attr-defined]  # an import


def _wrap_requests(faults: Faults, control: Path) -> None:
    start_handler = dispatch.Dispatcher._start_handler

    def start_armed(self: Any, *args: Any, **named: Any) -> asyncio.Future[object]:
        file = control / "arm"
        if not file.exists():
            return start_handler(self, *args, **named)
        asked = json.loads(file.read_bytes())
        file.unlink()
        faults.arm(asked["errno"], asked["k"], asked["only"])

        def disarm(_: object = None) -> None:
            counted = faults.disarm()
            with contextlib.suppress(OSError):
                (control / "calls").write_text(json.dumps(counted))

        try:
            task = start_handler(self, *args, **named)
        except BaseException:
            disarm()
            raise
        task.add_done_callback(disarm)
        return task

    dispatch.Dispatcher._start_handler = start_armed  # type: ignore[method-assign]  # to arm each call
