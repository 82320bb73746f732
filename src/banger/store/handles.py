"""Rows of runtime handles, such as a VM's processes and its start time."""

from __future__ import annotations

import sqlite3

from banger.model.names import VmId


def save_handle(connection: sqlite3.Connection, vm_id: VmId, kind: str, payload: bytes) -> None:
    """Save or replace one handle (JSON) of a VM."""
    connection.execute("INSERT OR REPLACE INTO handles VALUES (?, ?, ?)", (vm_id, kind, payload))


def begin_handle(connection: sqlite3.Connection, vm_id: VmId, kind: str, payload: bytes) -> None:
    """Save one handle (JSON) of a VM, unless the VM has a handle of this kind."""
    connection.execute("INSERT OR IGNORE INTO handles VALUES (?, ?, ?)", (vm_id, kind, payload))


def load_handles(connection: sqlite3.Connection, vm_id: VmId) -> dict[str, bytes]:
    """Return a VM's handles by kind. A payload is untrusted until its owner has parsed it."""
    rows = connection.execute("SELECT kind, payload FROM handles WHERE vm_id = ?", (vm_id,))
    return {row["kind"]: bytes(row["payload"]) for row in rows}


def load_handles_of_kind(connection: sqlite3.Connection, kind: str) -> dict[VmId, bytes]:
    """Return all VMs' handles of one kind. The payloads are untrusted, as above."""
    rows = connection.execute("SELECT vm_id, payload FROM handles WHERE kind = ?", (kind,))
    return {VmId(row["vm_id"]): bytes(row["payload"]) for row in rows}


def delete_handle(connection: sqlite3.Connection, vm_id: VmId, kind: str) -> None:
    """Delete a handle; do nothing if the handle is absent."""
    connection.execute("DELETE FROM handles WHERE vm_id = ? AND kind = ?", (vm_id, kind))
