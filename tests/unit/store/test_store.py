"""The store on real SQLite files."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec
import pytest

from banger import store
from banger.errors import DatabaseFailed, HostNotReady, NameTaken, OperationFailed
from banger.model.names import OperationId, VmId
from banger.model.vm import VmRecord, VmState, WorkspaceRecord
from banger.store.migrations import MIGRATIONS
from tests.support.specs import make_spec

FIRST = VmId("000000000001")
SECOND = VmId("000000000002")


def record(vm_id: VmId, name: str, created_at: float = 1.0) -> VmRecord:
    spec = make_spec(name=name, labels={"a": "b"})
    return VmRecord(id=vm_id, spec=spec, state=VmState.CREATED, created_at=created_at)


def with_database(
    path: Path, work: Callable[[store.Database], Coroutine[object, object, None]]
) -> None:
    async def run() -> None:
        database = await store.open_database(path)
        try:
            await work(database)
        finally:
            await database.close()

    asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "banger.db"


def test_an_answer_is_kept_until_the_next_transaction(path: Path) -> None:
    """B4: whoever has been told that something is written finds it in every list."""

    async def work(database: store.Database) -> None:
        assert await database.read_kept(store.load_vms) == []
        await database.write(store.insert_vm, record(FIRST, "one"))
        found = await database.read_kept(store.load_vms)
        assert [vm.spec.name for vm in found] == ["one"]
        assert await database.read_kept(store.load_vms) is found
        assert await database.read_kept(store.load_open_operations) == []
        with pytest.raises(NameTaken):
            await database.write(store.insert_vm, record(SECOND, "one"))
        assert await database.read_kept(store.load_vms) == found
        writing = asyncio.ensure_future(database.write(store.delete_vm, FIRST))
        await asyncio.sleep(0)
        writing.cancel()
        # Finished in its thread, or never begun there: in either case both tell the same.
        now = await database.read(store.load_vms)
        assert await database.read_kept(store.load_vms) == now

    with_database(path, work)


def test_a_record_comes_back_as_it_was(path: Path) -> None:
    async def work(database: store.Database) -> None:
        await database.write(store.insert_vm, record(SECOND, "b", 2.0))
        await database.write(store.insert_vm, record(FIRST, "a", 1.0))
        assert await database.read(store.load_vms) == [
            record(FIRST, "a", 1.0),
            record(SECOND, "b", 2.0),
        ]

    with_database(path, work)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_saved_of_a_vm_is_found_again(path: Path) -> None:
    workspace = WorkspaceRecord(host_path="/h", guest_path="/g", commit="c" * 40, directory="d/e")

    async def work(database: store.Database) -> None:
        await database.write(store.insert_vm, record(FIRST, "a"))
        await database.write(store.update_state, FIRST, VmState.ERROR, error="It fell over.")
        await database.write(store.update_workspace, FIRST, workspace)
        found = await database.read(store.find_vm, FIRST)
        assert found is not None
        assert (found.state, found.error) == (VmState.ERROR, "It fell over.")
        assert found.workspace == workspace
        await database.write(store.delete_vm, FIRST)
        assert await database.read(store.find_vm, FIRST) is None

    with_database(path, work)


def test_a_name_is_given_once(path: Path) -> None:
    """C6."""

    async def work(database: store.Database) -> None:
        await database.write(store.insert_vm, record(FIRST, "a"))
        with pytest.raises(NameTaken):
            await database.write(store.insert_vm, record(SECOND, "a"))
        assert len(await database.read(store.load_vms)) == 1

    with_database(path, work)


def test_a_transaction_that_fails_leaves_nothing(path: Path) -> None:
    def half(connection: sqlite3.Connection) -> None:
        store.insert_vm(connection, record(FIRST, "a"))
        connection.execute("INSERT INTO nowhere VALUES (1)")

    async def work(database: store.Database) -> None:
        with pytest.raises(OperationFailed):
            await database.write(half)
        assert await database.read(store.load_vms) == []

    with_database(path, work)


@pytest.mark.parametrize(("column", "value"), [("spec", b"{"), ("state", "levitating")])
def test_a_damaged_row_is_one_vm_in_error(path: Path, column: str, value: object) -> None:
    """B9: it can be listed and deleted, and the others are as before."""

    def damage(connection: sqlite3.Connection) -> None:
        connection.execute(f"UPDATE vms SET {column} = ? WHERE id = ?", (value, FIRST))

    async def work(database: store.Database) -> None:
        await database.write(store.insert_vm, record(FIRST, "a", 1.0))
        await database.write(store.insert_vm, record(SECOND, "b", 2.0))
        await database.write(damage)
        damaged, whole = await database.read(store.load_vms)
        assert (damaged.id, damaged.spec.name, damaged.state) == (FIRST, "a", VmState.ERROR)
        assert "damaged" in str(damaged.error)
        assert whole == record(SECOND, "b", 2.0)

    with_database(path, work)


def test_handles_live_and_die_with_their_vm(path: Path) -> None:
    async def work(database: store.Database) -> None:
        await database.write(store.insert_vm, record(FIRST, "a"))
        await database.write(store.save_handle, FIRST, "vmm", b"1")
        await database.write(store.save_handle, FIRST, "vmm", b"2")
        await database.write(store.save_handle, FIRST, "network", b"3")
        assert await database.read(store.load_handles, FIRST) == {"vmm": b"2", "network": b"3"}
        assert await database.read(store.load_handles_of_kind, "vmm") == {FIRST: b"2"}
        await database.write(store.delete_handle, FIRST, "network")
        await database.write(store.delete_vm, FIRST)
        assert await database.read(store.load_handles, FIRST) == {}

    with_database(path, work)


def test_a_handle_without_a_vm_is_refused(path: Path) -> None:
    async def work(database: store.Database) -> None:
        with pytest.raises(OperationFailed):
            await database.write(store.save_handle, FIRST, "vmm", b"1")

    with_database(path, work)


def test_the_journal_tells_what_was_in_progress(path: Path) -> None:
    """B5: what a killed daemon leaves is read by the next one."""
    operation = OperationId("op-1")

    async def die_half_way(database: store.Database) -> None:
        await database.write(store.begin_operation, operation, "vm.start", FIRST, now=1.0)
        await database.write(store.record_step, operation, 0, b"a", "started")
        await database.write(store.record_step, operation, 0, b"a", "done")
        await database.write(store.record_step, operation, 1, b"b", "started")

    async def look(database: store.Database) -> None:
        (found,) = await database.read(store.load_open_operations)
        assert (found.id, found.method, found.vm_id) == (operation, "vm.start", FIRST)
        assert [tuple(entry) for entry in found.entries] == [
            (0, b"a", "done"),
            (1, b"b", "started"),
        ]
        await database.write(store.end_operation, operation)
        assert await database.read(store.load_open_operations) == []

    with_database(path, die_half_way)
    with_database(path, look)


def test_a_vm_has_one_open_operation(path: Path) -> None:
    """B5: one that could not be closed is not undone after what came later."""

    async def work(database: store.Database) -> None:
        for number, vm_id in enumerate((FIRST, FIRST, SECOND)):
            operation = OperationId(f"op-{number}")
            await database.write(store.begin_operation, operation, "vm.create", vm_id, now=number)
        found = await database.read(store.load_open_operations)
        assert [operation.id for operation in found] == ["op-1", "op-2"]
        await database.write(store.insert_vm, record(FIRST, "one"))
        await database.write(store.delete_vm, FIRST)
        (left,) = await database.read(store.load_open_operations)
        assert left.vm_id == SECOND

    with_database(path, work)


def test_a_database_without_memory_is_an_error_of_ours(path: Path) -> None:
    def exhaust(_: sqlite3.Connection) -> None:
        raise MemoryError

    async def work(database: store.Database) -> None:
        with pytest.raises(DatabaseFailed, match="out of memory"):
            await database.write(exhaust)
        await database.write(store.insert_vm, record(FIRST, "one"))

    with_database(path, work)


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    async def nothing(database: store.Database) -> None:
        pass

    with_database(path, nothing)
    newer = len(MIGRATIONS) + 1
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {newer}")
    connection.close()
    with pytest.raises(HostNotReady, match=f"schema {newer}"):
        with_database(path, nothing)


def test_opening_again_migrates_nothing_twice(path: Path) -> None:
    async def insert(database: store.Database) -> None:
        await database.write(store.insert_vm, record(FIRST, "a"))

    async def look(database: store.Database) -> None:
        assert len(await database.read(store.load_vms)) == 1

    with_database(path, insert)
    with_database(path, look)


def test_what_a_vm_started_from_survives_the_renaming(path: Path) -> None:
    """B11, B9, D8: an upgrade with clones that run; a damaged row beside them stays as it is."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1;")
    kept = {
        "name": "a",
        "image": "i",
        "image_name": "debian",
        "kernel": "k",
        "vcpu": 1,
        "memory_mib": 512,
        "disk_mib": 64,
        "network": "user",
        "driver": "qemu",
        "accel": "tcg",
        "labels": {},
        "env": {},
        "entrypoint": [],
    }
    specs = [kept | {"template": "k" * 64}, kept | {"template": None, "name": "b"}]
    rows = [(str(n), msgspec.json.encode(spec)) for n, spec in enumerate(specs)]
    for vm_id, spec in [*rows, ("2", b"{"), ("3", b"\xff\x00")]:
        connection.execute(
            "INSERT INTO vms (id, name, spec, state, created_at) VALUES (?, ?, ?, 'running', 1.0)",
            (vm_id, f"n{vm_id}", spec),
        )
    step = b'{"step":"restore-vmm","vm_id":"0","template":"t"}'
    connection.execute("INSERT INTO operations VALUES ('op', 'vm.create', '0', 1.0)")
    connection.execute("INSERT INTO journal VALUES ('op', 0, ?, 'started')", (step,))
    connection.close()

    async def look(database: store.Database) -> None:
        [operation] = await database.read(store.load_open_operations)
        assert b'"origin":"templates/t"' in operation.entries[0].step
        found = [vm.origin for vm in await database.read(store.load_vms) if vm.spec.shape.vcpu]
        assert found == ["templates/" + "k" * 64, None]

    with_database(path, look)
    connection = sqlite3.connect(path)
    damaged = connection.execute("SELECT spec FROM vms WHERE id > '1' ORDER BY id").fetchall()
    connection.close()
    assert damaged == [(b"{",), (b"\xff\x00",)]


def test_the_specs_format_is_frozen(path: Path) -> None:
    """Rows outlive a daemon: a field that is renamed or removed needs a migration."""
    spec = msgspec.json.decode(msgspec.json.encode(record(FIRST, "a").spec))
    assert {key: set(part) if isinstance(part, dict) else None for key, part in spec.items()} == {
        **dict.fromkeys(("name", "image", "image_name", "kernel", "driver", "accel")),
        "shape": {"vcpu", "memory_mib", "disk_mib", "network"},
        "labels": {"a"},
        "program": {"env", "workdir", "user", "entrypoint"},
        "ending": {"ephemeral", "ttl_s", "auto_stop_s", "restart"},
        "egress": {"profile", "rules", "bandwidth_mib"},
        "secrets": {"authority", "placeholders"},
    }
