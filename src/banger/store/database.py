"""One SQLite connection, and the one thread that runs functions on it."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from banger.errors import BangerError, DatabaseFailed, NoSpace
from banger.host.files import ensure_private_dir, is_full, no_space
from banger.store.migrations import migrate

P = ParamSpec("P")
T = TypeVar("T")

UNWRITABLE = (NoSpace, DatabaseFailed)
"""Errors of a write that was not possible: the disk is full, or SQLite failed."""
PATH_MAX = 500
"""Bytes. SQLite's own limit is 512, with the suffixes of its other files."""


class Database:
    """Asyncio access to SQLite.

    Each function given to `write` runs inside one `BEGIN IMMEDIATE` transaction: all or
    nothing. Such functions are synchronous, short, and do nothing but execute statements.
    """

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread
        self._writes = 0
        """Transactions so far; only the thread increments this."""
        self._kept: dict[Callable[[sqlite3.Connection], object], tuple[int, object]] = {}

    async def write(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *a: P.args, **k: P.kwargs
    ) -> T:
        """Run `function(connection, ...)` in a transaction.

        Cancelling the caller does not tear the transaction: the thread finishes it.
        """

        def counted() -> T:
            try:
                return _in_transaction(self._connection, function, *a, **k)
            finally:
                self._writes += 1

        return await self._call(counted)

    async def read(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *a: P.args, **k: P.kwargs
    ) -> T:
        """Run `function(connection, ...)` and return its result."""
        return await self._call(lambda: function(self._connection, *a, **k))

    async def read_kept(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Like `read`, but cache the result until the next transaction. Do not modify it.

        For reads that many clients request at once: a thread that fetches rows releases the
        interpreter lock for each row, and waits up to 5 ms to regain it from a busy loop.
        """
        kept = self._kept.get(function)
        if kept is not None and kept[0] == self._writes:
            return kept[1]  # type: ignore[return-value]  # the function names one kind of answer

        def counted() -> tuple[int, T]:
            return self._writes, function(self._connection)

        found = await self._call(counted)
        self._kept[function] = found
        return found[1]

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await self._call(self._connection.close)
        self._thread.shutdown()

    async def _call(self, function: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, _translated(function))


async def open_database(path: Path) -> Database:
    """Open the database; create and migrate it first if needed.

    Raises:
        HostNotReady: the database was written by a newer banger.
        NoSpace, DatabaseFailed: the database cannot be read or written.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")
    loop = asyncio.get_running_loop()
    try:
        connection = await loop.run_in_executor(thread, _translated(lambda: _open(path)))
    except BaseException:
        thread.shutdown()
        raise
    return Database(connection, thread)


def _open(path: Path) -> sqlite3.Connection:
    ensure_private_dir(path.parent)
    # SQLite's errors name neither the path nor the cause.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    if len(os.fsencode(path)) > PATH_MAX:
        raise OSError(errno.ENAMETOOLONG, "too long for SQLite", os.fspath(path))
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        path.chmod(0o600)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # WAL with `normal` survives the death of the process, which recovery is for. A power
        # cut may lose the last transactions, but also ends every VM.
        connection.execute("PRAGMA synchronous = NORMAL")
        migrate(connection)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error) and is_full(path.parent):
            raise no_space(os.fspath(path)) from error
        raise
    return connection


def _in_transaction(
    connection: sqlite3.Connection,
    function: Callable[Concatenate[sqlite3.Connection, P], T],
    *a: P.args,
    **k: P.kwargs,
) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = function(connection, *a, **k)
        # On a full disk COMMIT also fails, and leaves the transaction open.
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def _translated(function: Callable[[], T]) -> Callable[[], T]:
    """Wrap `function` so that SQLite's errors are raised as banger's."""

    def call() -> T:
        try:
            return function()
        except sqlite3.Error as error:
            raise _translate(error) from error
        except MemoryError as error:
            # Python raises MemoryError for SQLITE_NOMEM.
            raise _refused("out of memory") from error

    return call


def _translate(error: sqlite3.Error) -> BangerError:
    if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
        return NoSpace("The file system of the database is full.", hint="df -h ~/.local/state")
    return _refused(str(error))


def _refused(why: str) -> DatabaseFailed:
    return DatabaseFailed(f"The database failed: {why}.", hint="banger doctor")
