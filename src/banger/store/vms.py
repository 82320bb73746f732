"""Rows of VMs: synchronous functions of a connection, to be run through `Database`."""

from __future__ import annotations

import sqlite3

import msgspec

from banger.errors import NameTaken
from banger.model.jsontext import decode_json, encode_json
from banger.model.names import VmId
from banger.model.vm import (
    Accel,
    Role,
    Shape,
    VmRecord,
    VmSpec,
    VmState,
    WorkspaceRecord,
)
from banger.store.journal import forget_operations
from banger.words import NO_NETWORK


def insert_vm(connection: sqlite3.Connection, record: VmRecord) -> None:
    """Insert a VM's row, which claims its name and id.

    Raises:
        NameTaken: another VM has the name.
    """
    try:
        connection.execute(
            "INSERT INTO vms (id, name, spec, state, created_at, origin, role, pending)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.id,
                record.spec.name,
                encode_json(record.spec),
                record.state.value,
                record.created_at,
                *_machine(record),
            ),
        )
    except sqlite3.IntegrityError as error:
        raise _name_taken(record.spec.name) from error


def require_name_free(connection: sqlite3.Connection, name: str) -> None:
    """Check that no VM has the name now.

    Raises:
        NameTaken: a VM has the name.
    """
    if connection.execute("SELECT 1 FROM vms WHERE name = ?", (name,)).fetchone():
        raise _name_taken(name)


def _name_taken(name: str) -> NameTaken:
    hint = f"banger vm shell {name} opens a shell in it; or choose another --name"
    return NameTaken(f"A VM named {name} already exists.", hint=hint)


def update_state(
    connection: sqlite3.Connection, vm_id: VmId, state: VmState, *, error: str | None = None
) -> None:
    """Save a VM's state, and the reason for `error`."""
    connection.execute(
        "UPDATE vms SET state = ?, error = ? WHERE id = ?", (state.value, error, vm_id)
    )


def replace_vm(connection: sqlite3.Connection, record: VmRecord) -> None:
    """Turn a VM into another VM with the same id: replace its name, spec, age and state.

    Raises:
        NameTaken: another VM has the name.
    """
    try:
        connection.execute(
            "UPDATE vms SET name = ?, spec = ?, state = ?, created_at = ?,"
            " origin = ?, role = ?, pending = ? WHERE id = ?",
            (
                record.spec.name,
                encode_json(record.spec),
                record.state.value,
                record.created_at,
                *_machine(record),
                record.id,
            ),
        )
    except sqlite3.IntegrityError as error:
        raise _name_taken(record.spec.name) from error


def update_spec(connection: sqlite3.Connection, record: VmRecord) -> None:
    """Save a changed spec with its origin, role and pending shape, and claim its name.

    Raises:
        NameTaken: another VM has the name.
    """
    try:
        connection.execute(
            "UPDATE vms SET name = ?, spec = ?, origin = ?, role = ?, pending = ? WHERE id = ?",
            (record.spec.name, encode_json(record.spec), *_machine(record), record.id),
        )
    except sqlite3.IntegrityError as error:
        raise _name_taken(record.spec.name) from error


def _machine(record: VmRecord) -> tuple[str | None, bytes, bytes | None]:
    pending = None if record.pending is None else encode_json(record.pending)
    return record.origin, encode_json(record.role), pending


def update_workspace(
    connection: sqlite3.Connection, vm_id: VmId, workspace: WorkspaceRecord
) -> None:
    """Save the workspace that a VM holds."""
    connection.execute("UPDATE vms SET workspace = ? WHERE id = ?", (encode_json(workspace), vm_id))


def delete_vm(connection: sqlite3.Connection, vm_id: VmId) -> None:
    """Remove a VM's row, handles and journal; do nothing if the row is absent."""
    connection.execute("DELETE FROM vms WHERE id = ?", (vm_id,))
    forget_operations(connection, vm_id)


def load_vms(connection: sqlite3.Connection) -> list[VmRecord]:
    """Return every VM, oldest first. A damaged row becomes a VM in state `error` (B9)."""
    rows = connection.execute("SELECT * FROM vms ORDER BY created_at, id").fetchall()
    return [_parse_row(row) for row in rows]


def find_name(connection: sqlite3.Connection, vm_id: VmId) -> str | None:
    """Return the name of the VM with this full id."""
    row = connection.execute("SELECT name FROM vms WHERE id = ?", (vm_id,)).fetchone()
    return None if row is None else str(row["name"])


def find_vm(connection: sqlite3.Connection, vm_id: VmId) -> VmRecord | None:
    """Return the VM with this full id."""
    row = connection.execute("SELECT * FROM vms WHERE id = ?", (vm_id,)).fetchone()
    return None if row is None else _parse_row(row)


def _parse_row(row: sqlite3.Row) -> VmRecord:
    try:
        return VmRecord(
            id=VmId(row["id"]),
            spec=decode_json(row["spec"], VmSpec),
            state=VmState(row["state"]),
            created_at=row["created_at"],
            origin=row["origin"],
            role=decode_json(row["role"], Role),  # type: ignore[arg-type]  # a union
            pending=row["pending"] and decode_json(row["pending"], Shape),
            error=row["error"],
            workspace=row["workspace"] and decode_json(row["workspace"], WorkspaceRecord),
        )
    except (msgspec.DecodeError, ValueError) as error:
        return _damaged(row, str(error))


def _damaged(row: sqlite3.Row, why: str) -> VmRecord:
    """Return a stand-in for a damaged row, which can only be listed and deleted."""
    return VmRecord(
        id=VmId(row["id"]),
        spec=VmSpec(
            name=row["name"],
            image="",
            image_name="?",
            kernel="",
            shape=Shape(vcpu=0, memory_mib=0, disk_mib=0, network=NO_NETWORK),
            driver="",
            accel=Accel.TCG,
        ),
        state=VmState.ERROR,
        created_at=row["created_at"],
        error=f"The record of this VM is damaged: {why}.",
    )
