"""Rows of a VM's own resources on the host, such as its loopback address (hazard C6).

A value of a kind belongs to one VM, from the transaction that makes the VM until its row goes.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable

from banger.errors import AddressesExhausted
from banger.model.names import VmId

ADDRESS = "address"
"""The kind of a VM's loopback address, which is an address of 127.77.0.0/16."""
GUEST_ADDRESS = "guest-address"
"""The kind of the number of a guest's address, where VMs share a network."""

_FIRST, _LAST = 1, 254
"""Of the last byte: .0 and .255 look like a network's and a broadcast's."""
_HOSTS = _LAST - _FIRST + 1
ADDRESSES = 256 * _HOSTS


def allocate_address(connection: sqlite3.Connection, vm_id: VmId) -> str:
    """Give a VM its loopback address, by its id; return the address. Idempotent.

    Raises:
        AddressesExhausted: other VMs have all addresses.
    """
    address = _allocate(connection, ADDRESS, vm_id, ADDRESSES, format_address)
    if address is None:
        raise AddressesExhausted(
            f"All {ADDRESSES} loopback addresses belong to VMs.", hint="banger vm list"
        )
    return address


def allocate_guest_address(connection: sqlite3.Connection, vm_id: VmId, among: int) -> int:
    """Give a VM the number of an address of its network, less than `among`. Idempotent.

    Raises:
        AddressesExhausted: other VMs have all numbers.
    """
    number = _allocate(connection, GUEST_ADDRESS, vm_id, among, str)
    if number is None:
        raise AddressesExhausted(
            f"All {among} addresses of the network belong to VMs.", hint="banger vm list"
        )
    return int(number)


def _allocate(
    connection: sqlite3.Connection,
    kind: str,
    vm_id: VmId,
    among: int,
    format_value: Callable[[int], str],
) -> str | None:
    """Return the value of this kind that a VM has, or one of `among` that it has from now on."""
    found = _find(connection, kind, vm_id)
    if found is not None:
        return found
    first = int.from_bytes(hashlib.sha256(vm_id.encode()).digest()[:8])
    for number in range(first, first + among):
        value = format_value(number % among)
        inserted = connection.execute(
            "INSERT OR IGNORE INTO allocations VALUES (?, ?, ?)", (kind, value, vm_id)
        )
        if inserted.rowcount:
            return value
    return None


def find_address(connection: sqlite3.Connection, vm_id: VmId) -> str | None:
    """Return a VM's loopback address; None for the engine's own VMs."""
    return _find(connection, ADDRESS, vm_id)


def _find(connection: sqlite3.Connection, kind: str, vm_id: VmId) -> str | None:
    row = connection.execute(
        "SELECT value FROM allocations WHERE vm_id = ? AND kind = ?", (vm_id, kind)
    ).fetchone()
    return None if row is None else str(row["value"])


def load_addresses(connection: sqlite3.Connection) -> dict[VmId, str]:
    """Return the loopback address of every VM that has one."""
    return _load(connection, ADDRESS)


def load_guest_addresses(connection: sqlite3.Connection) -> dict[VmId, int]:
    """Return the number of the address of every guest that has one."""
    return {vm_id: int(value) for vm_id, value in _load(connection, GUEST_ADDRESS).items()}


def _load(connection: sqlite3.Connection, kind: str) -> dict[VmId, str]:
    rows = connection.execute("SELECT vm_id, value FROM allocations WHERE kind = ?", (kind,))
    return {VmId(row["vm_id"]): str(row["value"]) for row in rows}


def format_address(number: int) -> str:
    """Return the address with this number, from 0 to `ADDRESSES` - 1. Pure."""
    third, fourth = divmod(number, _HOSTS)
    return f"127.77.{third}.{_FIRST + fourth}"
