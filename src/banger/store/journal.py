"""Operations in progress and their steps, which recovery reads after a crash.

An operation's rows exist only while it runs. The runner writes `started` before
a step acts and `done` afterwards; undoing a step writes `undone`. So whenever
the daemon is killed, the journal names every step that may have had an effect.
"""

from __future__ import annotations

import sqlite3
from typing import Literal, NamedTuple

from banger.model.names import OperationId, VmId

StepStatus = Literal["started", "done", "undone"]


class JournalEntry(NamedTuple):
    number: int
    step: bytes
    status: StepStatus


class OpenOperation(NamedTuple):
    """An operation that a dead daemon left unfinished."""

    id: OperationId
    method: str
    vm_id: VmId
    entries: tuple[JournalEntry, ...]


def begin_operation(
    connection: sqlite3.Connection,
    operation_id: OperationId,
    method: str,
    vm_id: VmId,
    *,
    now: float,
) -> None:
    """Open the journal of one operation on one VM.

    A VM has one open operation at a time. An older journal that is still open belongs to an
    operation that has ended but could not close it; drop it, so that recovery neither undoes
    nor completes that operation after the new one.
    """
    forget_operations(connection, vm_id)
    connection.execute(
        "INSERT INTO operations VALUES (?, ?, ?, ?)", (operation_id, method, vm_id, now)
    )


def record_step(
    connection: sqlite3.Connection,
    operation_id: OperationId,
    number: int,
    step: bytes,
    status: StepStatus,
) -> None:
    """Record a step's progress."""
    connection.execute(
        "INSERT OR REPLACE INTO journal VALUES (?, ?, ?, ?)",
        (operation_id, number, step, status),
    )


def end_operation(connection: sqlite3.Connection, operation_id: OperationId) -> None:
    """Close an operation, whose journal is no longer needed."""
    connection.execute("DELETE FROM operations WHERE id = ?", (operation_id,))


def forget_operations(connection: sqlite3.Connection, vm_id: VmId) -> None:
    """Close a VM's open operations, if any."""
    connection.execute("DELETE FROM operations WHERE vm_id = ?", (vm_id,))


def load_open_operations(connection: sqlite3.Connection) -> list[OpenOperation]:
    """Return the open operations, oldest first, each with its entries in order."""
    operations = connection.execute("SELECT * FROM operations ORDER BY started_at, id").fetchall()
    return [
        OpenOperation(
            OperationId(row["id"]),
            row["method"],
            VmId(row["vm_id"]),
            tuple(
                JournalEntry(entry["number"], bytes(entry["step"]), entry["status"])
                for entry in connection.execute(
                    "SELECT * FROM journal WHERE operation_id = ? ORDER BY number", (row["id"],)
                )
            ),
        )
        for row in operations
    ]
