"""Loopback addresses of VMs, on real SQLite files."""

from __future__ import annotations

import asyncio
import sqlite3
from ipaddress import ip_address
from pathlib import Path

import pytest

from banger import store
from banger.errors import AddressesExhausted
from banger.model.names import VmId
from banger.store.allocations import ADDRESSES, format_address
from banger.store.migrations import MIGRATIONS
from tests.unit.store.test_store import FIRST, SECOND, record, with_database

THIRD = VmId("00000000000c")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "banger.db"


def test_addresses_are_loopback_and_none_is_a_networks() -> None:
    addresses = {format_address(number) for number in range(ADDRESSES)}
    assert len(addresses) == ADDRESSES
    assert all(address.startswith("127.77.") for address in addresses)
    assert not {ip_address(address).packed[3] for address in addresses} & {0, 255}


def test_a_vm_has_one_address_for_life(path: Path) -> None:
    """C6, I3: its own, the same when asked again, and free when its row goes."""

    async def work(database: store.Database) -> None:
        await database.write(store.insert_vm, record(FIRST, "a"))
        address = await database.write(store.allocate_address, FIRST)
        assert await database.write(store.allocate_address, FIRST) == address
        assert await database.read(store.find_address, FIRST) == address
        await database.write(store.delete_vm, FIRST)
        assert await database.read(store.load_addresses) == {}
        await database.write(store.insert_vm, record(FIRST, "a"))
        assert await database.write(store.allocate_address, FIRST) == address

    with_database(path, work)


def test_an_address_that_is_taken_is_not_given_again(path: Path) -> None:
    """C6: the next one that is free is."""

    async def work(database: store.Database) -> None:
        await database.write(store.insert_vm, record(FIRST, "a"))
        await database.write(store.insert_vm, record(SECOND, "b"))
        wanted = await database.write(store.allocate_address, FIRST)
        await database.write(_give, SECOND, wanted)
        other = await database.write(store.allocate_address, FIRST)
        assert other != wanted
        assert await database.read(store.load_addresses) == {FIRST: other, SECOND: wanted}

    with_database(path, work)


def test_guests_of_one_network_have_addresses_of_their_own(path: Path) -> None:
    """C6: kept while the VM is there; refused when none is left."""

    async def work(database: store.Database) -> None:
        for vm_id, name in ((FIRST, "a"), (SECOND, "b")):
            await database.write(store.insert_vm, record(vm_id, name))
            await database.write(store.allocate_address, vm_id)
        numbers = [
            await database.write(store.allocate_guest_address, vm_id, 2)
            for vm_id in (FIRST, SECOND, FIRST)
        ]
        assert sorted(numbers[:2]) == [0, 1] and numbers[2] == numbers[0]
        await database.write(store.delete_vm, SECOND)
        await database.write(store.insert_vm, record(THIRD, "c"))
        assert await database.write(store.allocate_guest_address, THIRD, 2) == numbers[1]
        await database.write(store.insert_vm, record(SECOND, "b"))
        with pytest.raises(AddressesExhausted, match="All 2 addresses"):
            await database.write(store.allocate_guest_address, SECOND, 2)

    with_database(path, work)


def _give(connection: sqlite3.Connection, vm_id: VmId, address: str) -> None:
    connection.execute("UPDATE allocations SET vm_id = ? WHERE value = ?", (vm_id, address))


def test_when_all_addresses_are_taken_that_is_said(path: Path) -> None:
    def take_all(connection: sqlite3.Connection) -> None:
        connection.executemany(
            "INSERT INTO allocations VALUES ('address', ?, ?)",
            [(format_address(number), FIRST) for number in range(ADDRESSES)],
        )

    async def work(database: store.Database) -> None:
        await database.write(store.insert_vm, record(FIRST, "a"))
        await database.write(store.insert_vm, record(SECOND, "b"))
        await database.write(take_all)
        with pytest.raises(AddressesExhausted):
            await database.write(store.allocate_address, SECOND)

    with_database(path, work)


def test_vms_of_an_older_release_get_addresses(path: Path) -> None:
    """C6: each of a user's gets its own; the engine's own, and damaged roles, get none (B9)."""
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    for script in MIGRATIONS[:3]:
        connection.executescript(script)
    connection.execute("PRAGMA user_version = 3")
    connection.execute("PRAGMA foreign_keys = ON")
    roles = [b'{"type":"user"}'] * 600 + [b'{"type":"pooled","hostname":"x"}', b"{"]
    connection.executemany(
        "INSERT INTO vms (id, name, spec, state, created_at, role)"
        " VALUES (?, ?, X'7B7D', 'stopped', ?, ?)",
        [(f"{n:012}", f"vm-{n}", n, role) for n, role in enumerate(roles)],
    )
    connection.commit()
    connection.close()

    async def work(database: store.Database) -> None:
        addresses = await database.read(store.load_addresses)
        assert set(addresses) == {VmId(f"{n:012}") for n in range(600)}
        possible = {format_address(number) for number in range(ADDRESSES)}
        assert len(set(addresses.values())) == 600
        assert set(addresses.values()) <= possible

    with_database(path, work)


def test_two_transactions_at_once_get_two_addresses(path: Path) -> None:
    """C6."""

    async def work(database: store.Database) -> None:
        ids = [VmId(f"{n:012}") for n in range(100)]

        def make(connection: sqlite3.Connection, vm_id: VmId) -> str:
            store.insert_vm(connection, record(vm_id, f"vm-{vm_id}"))
            return store.allocate_address(connection, vm_id)

        given = await asyncio.gather(*(database.write(make, vm_id) for vm_id in ids))
        assert len(set(given)) == len(ids)

    with_database(path, work)
