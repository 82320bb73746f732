"""What a new daemon makes of what a killed one left (B5, B9, B10): real files, real rows.

No VM runs here; `tests/crash` kills real daemons with real VMs.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Coroutine
from sqlite3 import Connection

import msgspec
import pytest

from banger import store
from banger.api.requests import Gc, VmList
from banger.config import load_settings
from banger.engine import Engine, open_engine
from banger.engine.state.machine import Machine, load_machine
from banger.engine.state.operations import Operation
from banger.engine.steps.runner import apply, run_forward, run_undoable, undo
from banger.engine.transitions.make import claim_vm
from banger.engine.verbs.garbage import collect_garbage
from banger.engine.verbs.vms import delete_vm
from banger.engine.views.vms import list_vms
from banger.errors import DatabaseFailed, HostFailed, OperationFailed, VmNotFound
from banger.host.identity import ProcessIdentity, identify
from banger.layout import Layout, layout_from_environment
from banger.model.names import OperationId, VmId
from banger.model.vm import VmRecord, VmState
from banger.plan.lifecycle import plan_create, plan_kill
from banger.plan.steps import EndVmm, MakeDataDisk, MakeVmDir, Step
from banger.vmm.driver import VmmHandle
from tests.support.specs import make_spec

VM = VmId("0123456789ab")


@pytest.fixture
def layout(private_environ: dict[str, str]) -> Layout:
    return layout_from_environment(private_environ)


def with_engine(layout: Layout, work: Callable[[Engine], Coroutine[object, object, None]]) -> None:
    async def run() -> None:
        settings = load_settings(layout.config_file, {})
        async with open_engine(layout, lambda: settings) as engine:
            await work(engine)

    asyncio.run(run())


def record(state: VmState = VmState.CREATED, *, ephemeral: bool = False) -> VmRecord:
    spec = make_spec(disk_mib=64, network="none", ephemeral=ephemeral)
    return VmRecord(id=VM, spec=spec, state=state, created_at=1.0)


async def insert(engine: Engine, vm: VmRecord) -> None:
    await engine.database.write(store.insert_vm, vm)


async def act(engine: Engine, step: Step) -> None:
    """Apply one step to the VM."""
    machine = await load_machine(engine, VM)
    await apply(machine, engine.new_operation("test"), step)


async def leave_operation(engine: Engine, method: str, steps: tuple[Step, ...]) -> None:
    """Do steps as a daemon would that is killed right after the last of them has begun."""
    operation = OperationId("op-dead")
    await engine.database.write(store.begin_operation, operation, method, VM, now=1.0)
    for number, step in enumerate(steps):
        payload = msgspec.json.encode(step)
        await engine.database.write(store.record_step, operation, number, payload, "started")
        await act(engine, step)


async def states(engine: Engine) -> list[VmState]:
    return [view.state for view in await list_vms(engine, VmList())]


@pytest.mark.parametrize("steps_done", [0, 1, 2, 3])
def test_a_create_that_was_cut_off_is_undone(layout: Layout, steps_done: int) -> None:
    """B5, A9: no row, no directory."""

    async def crash(engine: Engine) -> None:
        await insert(engine, record())
        await leave_operation(engine, "vm.create", plan_create(VM, record().spec)[:steps_done])

    async def look(engine: Engine) -> None:
        assert await states(engine) == []
        assert not layout.vm_dir(VM).exists()
        assert await collect_garbage(engine, Gc()) == []

    with_engine(layout, crash)
    with_engine(layout, look)


@pytest.mark.parametrize("method", ["vm.start", "vm.kill", "vm.stop"])
def test_a_start_or_an_end_that_was_cut_off_leaves_a_stopped_vm(
    layout: Layout, method: str
) -> None:
    """B5: what it is made of stays."""

    async def crash(engine: Engine) -> None:
        await insert(engine, record(VmState.STARTING))
        for step in plan_create(VM, record().spec):
            await act(engine, step)
        await leave_operation(engine, method, ())

    async def look(engine: Engine) -> None:
        assert await states(engine) == [VmState.STOPPED]
        assert layout.vm_data_disk(VM).exists()
        assert await engine.database.read(store.load_open_operations) == []

    with_engine(layout, crash)
    with_engine(layout, look)


@pytest.mark.parametrize("state", [VmState.STOPPING, VmState.STOPPED, VmState.STARTING])
def test_a_restart_that_was_cut_off_boots_the_vm(layout: Layout, state: VmState) -> None:
    """B5: in either half, or between them. Here there is no image that it could boot."""

    async def crash(engine: Engine) -> None:
        await insert(engine, record(state))
        for step in plan_create(VM, record().spec):
            await act(engine, step)
        await leave_operation(engine, "vm.restart", ())

    async def look(engine: Engine) -> None:
        while (await states(engine))[0] is not VmState.ERROR:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
        assert "no image" in ((await list_vms(engine, VmList()))[0].error or "")
        assert await engine.database.read(store.load_open_operations) == []

    with_engine(layout, crash)
    with_engine(layout, look)


def test_a_restart_for_a_client_that_has_gone_is_the_vms_end(layout: Layout) -> None:
    """B5, C5: `run --rm` leaves nothing."""

    async def crash(engine: Engine) -> None:
        await insert(engine, record(VmState.STOPPING, ephemeral=True))
        await leave_operation(engine, "vm.restart", ())

    async def look(engine: Engine) -> None:
        assert await states(engine) == []
        assert await engine.database.read(store.load_open_operations) == []

    with_engine(layout, crash)
    with_engine(layout, look)


def test_a_delete_that_was_cut_off_is_completed(layout: Layout) -> None:
    """B5."""

    async def crash(engine: Engine) -> None:
        await insert(engine, record(VmState.STOPPED))
        await act(engine, MakeVmDir(vm_id=VM))
        await leave_operation(engine, "vm.delete", plan_kill(VM))

    async def look(engine: Engine) -> None:
        assert await states(engine) == []
        assert not layout.vm_dir(VM).exists()

    with_engine(layout, crash)
    with_engine(layout, look)


def handle(identity: ProcessIdentity) -> VmmHandle:
    return VmmHandle(
        driver="qemu",
        vm_id=VM,
        process=identity,
        program="qemu-system-x86",
        control_socket="/nowhere/qmp.sock",
        agent_socket="/nowhere/agent.sock",
        vmm_log="/nowhere/vmm.log",
    )


@pytest.mark.parametrize("change", ["boot_id", "start_ticks"])
def test_a_foreign_process_is_neither_adopted_nor_killed(layout: Layout, change: str) -> None:
    """B2, B10: a reused pid, a rebooted host."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        found = identify(sleeper.pid)
        assert found is not None
        pid, ticks, boot_id = found.pid, found.start_ticks, found.boot_id
        recorded = {
            "boot_id": ProcessIdentity(pid, ticks, "another boot"),
            "start_ticks": ProcessIdentity(pid, ticks + 1, boot_id),
        }[change]

        async def crash(engine: Engine) -> None:
            await insert(engine, record(VmState.RUNNING))
            payload = msgspec.json.encode(handle(recorded))
            await engine.database.write(store.save_handle, VM, "vmm", payload)

        async def look(engine: Engine) -> None:
            assert await states(engine) == [VmState.STOPPED]
            assert await engine.database.read(store.load_handles, VM) == {}

        with_engine(layout, crash)
        with_engine(layout, look)
        assert sleeper.poll() is None
        sleeper.kill()


def test_a_damaged_handle_counts_as_lost(layout: Layout) -> None:
    """B9."""

    async def crash(engine: Engine) -> None:
        await insert(engine, record(VmState.RUNNING))
        await engine.database.write(store.save_handle, VM, "vmm", b"{")

    async def look(engine: Engine) -> None:
        assert await states(engine) == [VmState.STOPPED]

    with_engine(layout, crash)
    with_engine(layout, look)


@pytest.mark.parametrize(
    ("state", "left"),
    [(VmState.STOPPED, []), (VmState.RUNNING, []), (VmState.ERROR, [VmState.ERROR])],
)
def test_a_vm_of_a_lost_client_is_deleted_unless_it_is_evidence(
    layout: Layout, state: VmState, left: list[VmState]
) -> None:
    """H5: one that never became ready is kept."""

    async def crash(engine: Engine) -> None:
        await insert(engine, record(state, ephemeral=True))

    async def look(engine: Engine) -> None:
        assert await states(engine) == left

    with_engine(layout, crash)
    with_engine(layout, look)


def test_a_step_of_another_version_is_passed_over(layout: Layout) -> None:
    """B9: the steps that are known are undone, and the daemon starts."""

    async def crash(engine: Engine) -> None:
        await insert(engine, record())
        await leave_operation(engine, "vm.create", plan_create(VM, record().spec)[:1])
        unknown = b'{"step": "levitate", "vm_id": "0123456789ab"}'
        operation = OperationId("op-dead")
        await engine.database.write(store.record_step, operation, 1, unknown, "started")

    async def look(engine: Engine) -> None:
        assert await states(engine) == []
        assert not layout.vm_dir(VM).exists()

    with_engine(layout, crash)
    with_engine(layout, look)


def test_a_directory_that_cannot_be_removed_holds_up_nobody(layout: Layout) -> None:
    """B3, B9."""

    async def crash(engine: Engine) -> None:
        await insert(engine, record())
        await leave_operation(engine, "vm.create", plan_create(VM, record().spec)[:1])
        (layout.vm_dir(VM) / "locked").mkdir()
        (layout.vm_dir(VM) / "locked" / "file").touch()
        (layout.vm_dir(VM) / "locked").chmod(0o500)

    async def look(engine: Engine) -> None:
        assert await states(engine) == []
        (left,) = await collect_garbage(engine, Gc())
        assert left.name == str(layout.vm_dir(VM))

    with_engine(layout, crash)
    with_engine(layout, look)
    (layout.vm_dir(VM) / "locked").chmod(0o700)


def test_undoing_goes_on_after_an_error(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """B3: the directory goes although undoing what is in it failed."""
    undone: list[str] = []

    async def failing_undo(machine: Machine, step: Step) -> None:
        undone.append(type(step).__name__)
        if isinstance(step, MakeDataDisk):
            raise OperationFailed("No.")
        await undo(machine, step)

    monkeypatch.setattr("banger.engine.steps.runner.undo", failing_undo)

    def nothing(_: Connection) -> None:
        raise AssertionError("there is no outcome to save")

    async def work(engine: Engine) -> None:
        op = engine.new_operation("vm.create")
        await insert(engine, record())
        await engine.database.write(store.begin_operation, op.id, op.method, VM, now=1.0)
        # More than the file system can hold, so that mke2fs fails.
        broken = MakeDataDisk(vm_id=VM, size_mib=2**60)
        machine = await load_machine(engine, VM)
        with pytest.raises(OperationFailed, match="mke2fs"):
            await run_undoable(machine, op, (MakeVmDir(vm_id=VM), broken), save=nothing)
        assert undone == ["MakeDataDisk", "MakeVmDir"]
        assert not layout.vm_dir(VM).exists()

    with_engine(layout, work)


def test_what_cannot_be_saved_is_undone(layout: Layout) -> None:
    """B5: else the next daemon would undo a VM that its user went on to use."""

    def refuse(_: Connection) -> None:
        raise DatabaseFailed("No.")

    async def work(engine: Engine) -> None:
        op = engine.new_operation("vm.create")
        await insert(engine, record())
        await engine.database.write(store.begin_operation, op.id, op.method, VM, now=1.0)
        machine = await load_machine(engine, VM)
        with pytest.raises(DatabaseFailed):
            await run_undoable(machine, op, plan_create(VM, record().spec), save=refuse)
        assert not layout.vm_dir(VM).exists()

    with_engine(layout, work)


def test_a_claim_whose_client_has_left_leaves_nothing(layout: Layout) -> None:
    """C5: the transaction is written to its end, and nobody would come back for its row."""

    async def work(engine: Engine) -> None:
        op = engine.new_operation("vm.create")
        claim = asyncio.create_task(claim_vm(engine, op, record().spec))
        await asyncio.sleep(0)
        claim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claim
        assert await states(engine) == []
        assert await engine.database.read(store.load_open_operations) == []

    with_engine(layout, work)


def test_a_step_that_ends_something_is_tried_twice(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3: a limit that was reached for a moment leaves no VM half ended; a lasting one is told."""
    tried: list[str] = []
    failures = 1

    async def failing(machine: Machine, op: Operation, step: Step) -> None:
        tried.append(type(step).__name__)
        if isinstance(step, EndVmm) and tried.count("EndVmm") <= failures:
            raise HostFailed("Too many open files.")

    monkeypatch.setattr("banger.engine.steps.runner.apply", failing)

    async def work(engine: Engine) -> None:
        nonlocal failures
        op = engine.new_operation("vm.kill")
        await insert(engine, record())
        machine = await load_machine(engine, VM)
        await run_forward(machine, op, plan_kill(VM), journalled=False)
        assert tried == ["EndVmm", "EndVmm", "EndNetwork", "RemoveRuntimeDir"]
        tried.clear()
        failures = 2
        with pytest.raises(HostFailed):
            await run_forward(machine, op, plan_kill(VM), journalled=False)
        # The VMM may live: what it needs stays.
        assert tried == ["EndVmm", "EndVmm"]

    with_engine(layout, work)


def test_steps_may_be_repeated(layout: Layout) -> None:
    """The runner's promise: applying twice or undoing twice is the same as once."""

    async def work(engine: Engine) -> None:
        op = engine.new_operation("vm.create")
        await insert(engine, record())
        machine = await load_machine(engine, VM)
        steps = plan_create(VM, record().spec)
        for step in (*steps, *steps):
            await apply(machine, op, step)
        disk = layout.vm_data_disk(VM).stat()
        assert disk.st_size == 64 * 2**20
        assert disk.st_blocks * 512 < 16 * 2**20  # sparse
        for step in (*reversed(steps), *reversed(steps)):
            await undo(machine, step)
        assert not layout.vm_dir(VM).exists()

    with_engine(layout, work)


def test_gc_lists_first_and_touches_only_names_of_our_shape(layout: Layout) -> None:
    """A6."""
    orphan = layout.vms / "abcdefabcdef"
    foreign = [layout.vms / "notes", layout.vms / "ABCDEFABCDEF", layout.vms / "abcdefabcdef0"]

    async def work(engine: Engine) -> None:
        for path in (orphan, *foreign):
            path.mkdir(parents=True)
            (path / "file").touch()
        (listed,) = await collect_garbage(engine, Gc())
        assert (listed.name, listed.removed) == (str(orphan), False)
        assert orphan.exists()
        (removed,) = await collect_garbage(engine, Gc(dry_run=False))
        assert removed.removed
        assert not orphan.exists()
        assert all(path.exists() for path in foreign)

    with_engine(layout, work)


def test_what_was_half_made_is_removed_at_the_start(layout: Layout) -> None:
    """A9."""
    for directory in (layout.scratch, layout.staging):
        (directory / "half").mkdir(parents=True)

    async def look(_: Engine) -> None:
        assert not (layout.scratch / "half").exists()
        assert not (layout.staging / "half").exists()

    with_engine(layout, look)


def test_deleting_what_is_not_there_says_so(layout: Layout) -> None:
    async def work(engine: Engine) -> None:
        with pytest.raises(VmNotFound, match="no VM nobody"):
            await delete_vm(engine, engine.new_operation("vm.delete"), "nobody")

    with_engine(layout, work)
