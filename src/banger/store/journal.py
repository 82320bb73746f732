"""Operations in progress and their steps: what recovery reads after a crash.

An operation's rows exist only while it runs. The runner writes `started` before
a step acts and `done` after it; undoing writes `undone`. So for any kill the
journal names every step that may have had an effect.
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

    A VM has one at a time: one that is open still could not be closed when it had ended, and
    recovery must not undo or complete it after what comes now.
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
    """Write how far a step is."""
    connection.execute(
        "INSERT OR REPLACE INTO journal VALUES (?, ?, ?, ?)",
        (operation_id, number, step, status),
    )


def end_operation(connection: sqlite3.Connection, operation_id: OperationId) -> None:
    """Close an operation: its journal is not needed any more."""
    connection.execute("DELETE FROM operations WHERE id = ?", (operation_id,))


def forget_operations(connection: sqlite3.Connection, vm_id: VmId) -> None:
    """Close whatever is open for a VM; nothing is fine."""
    connection.execute("DELETE FROM operations WHERE vm_id = ?", (vm_id,))


def load_open_operations(connection: sqlite3.Connection) -> list[OpenOperation]:
    """Return what was in progress, oldest first, with its entries in order."""
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
