"""VMs that end by themselves, on a host that refuses something: real rows, no VM runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Iterator
from sqlite3 import Connection
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from banger import store
from banger.api.requests import VmList, VmStop
from banger.config import load_settings
from banger.engine import Engine, open_engine
from banger.engine.state import restartpolicy
from banger.engine.state.became import became
from banger.engine.state.lookup import get_connection
from banger.engine.state.machine import Machine, load_rows
from banger.engine.state.operations import Operation
from banger.engine.state.restartpolicy import Restart, parse_restart
from banger.engine.state.runtime import RESTART
from banger.engine.transitions import watch
from banger.engine.upkeep import deferred_saves
from banger.engine.verbs.vms import stop_vm
from banger.engine.views.vms import list_vms
from banger.errors import DatabaseFailed, GuestGone, HostFailed, NoSpace, VmBusy
from banger.host.identity import ProcessIdentity, identify
from banger.layout import Layout, layout_from_environment
from banger.model.vm import RestartPolicy, VmRecord, VmState
from banger.plan.lifecycle import plan_create
from banger.plan.steps import Step
from banger.store import Database
from banger.vmm.driver import VmmHandle
from banger.vmm.qemu.control import QemuControl
from tests.component.engine.test_recovery import VM, act, handle, insert, record
from tests.support.specs import change_spec

NOBODY = ProcessIdentity(2**22 + 1, 1, "another boot")
FULL = NoSpace("The file system of the database is full.")


async def fail(_: QemuControl, __: VmmHandle) -> int:
    """Be the end of a VMM that has failed."""
    return 1


@pytest.fixture
def layout(private_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Layout:
    for module, name in ((watch, "RETRY_S"), (deferred_saves, "RETRY_S")):
        monkeypatch.setattr(module, name, 0.01)
    monkeypatch.setattr(restartpolicy, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(QemuControl, "wait_gone", fail)
    return layout_from_environment(private_environ)


def with_engine(layout: Layout, work: Callable[[Engine], Coroutine[object, object, None]]) -> None:
    async def run() -> None:
        async with open_engine(layout, lambda: load_settings(layout.config_file, {})) as engine:
            await work(engine)

    asyncio.run(asyncio.wait_for(run(), 60))


def restarting(state: VmState) -> VmRecord:
    """A VM that is restarted whatever ends it."""
    made = record(state)
    return replace(made, spec=change_spec(made.spec, restart=RestartPolicy.ALWAYS))


def watch_death(engine: Engine) -> None:
    became(Machine(engine, restarting(VmState.RUNNING), handle(NOBODY)), VmState.RUNNING)


def load_restart(connection: Connection) -> Restart | None:
    return parse_restart(store.load_handles(connection, VM).get(RESTART))


async def state_of(engine: Engine) -> tuple[VmState, str]:
    (view,) = await list_vms(engine, VmList())
    return view.state, view.error or ""


async def until(condition: Callable[[], Coroutine[object, object, object]]) -> None:
    while not await condition():  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.01)


def test_a_guest_whose_vmm_has_died_is_said_to_have_ended(layout: Layout) -> None:
    """H2, H6: the end is not noted yet. A VMM that runs, and whose agent is not there, is not."""

    async def work(engine: Engine) -> None:
        running = record(VmState.RUNNING)
        await insert(engine, running)
        own = identify(os.getpid())
        assert own is not None
        for process, told in ((NOBODY, "has ended"), (own, "cannot be reached")):
            row = msgspec.json.encode(handle(process))
            await engine.database.write(store.save_handle, VM, "vmm", row)
            with pytest.raises(GuestGone, match=told):
                await get_connection(engine, running)

    with_engine(layout, work)


def test_what_a_dead_vmm_leaves_and_the_host_refuses_to_remove(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3, A10: the state is saved at once, with what was wrong; each thing is tried; and the
    restart row is there."""
    tried = []

    async def refuse(_: Machine, __: Operation, step: Step) -> None:
        tried.append(type(step).__name__)
        raise HostFailed("Too many open files.")

    monkeypatch.setattr("banger.engine.steps.runner.apply", refuse)
    monkeypatch.setattr(restartpolicy, "FIRST_WAIT_S", 60.0)

    async def work(engine: Engine) -> None:
        await insert(engine, restarting(VmState.RUNNING))
        watch_death(engine)
        await until(lambda: engine.database.read(load_restart))
        state, why = await state_of(engine)
        assert state is VmState.ERROR
        assert "status 1" in why and why.endswith("Too many open files.")
        assert list(dict.fromkeys(tried)) == ["EndVmm", "EndNetwork", "RemoveRuntimeDir"]

    with_engine(layout, work)


def test_an_end_is_noted_when_the_records_can_be_read_again(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3: a VM whose VMM is gone does not stay `running` until somebody asks for it."""
    read, failures = Database.read, iter(range(6))

    async def failing_read(database: Database, function: Any, *a: Any, **k: Any) -> Any:
        if function is load_rows and next(failures, None) is not None:
            raise DatabaseFailed("The database failed: disk I/O error.")
        return await read(database, function, *a, **k)

    async def work(engine: Engine) -> None:
        await insert(engine, record(VmState.RUNNING))
        monkeypatch.setattr(Database, "read", failing_read)
        watch_death(engine)

        async def is_noted() -> bool:
            return (await state_of(engine))[0] is VmState.ERROR

        await until(is_noted)
        assert next(failures, None) is None

    with_engine(layout, work)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """While it holds something the database's file system is full."""
    full: list[bool] = []
    write = Database.write

    async def refusing_write(database: Database, function: Any, *a: Any, **k: Any) -> Any:
        if full:
            raise FULL
        return await write(database, function, *a, **k)

    monkeypatch.setattr(Database, "write", refusing_write)
    yield full
    full.clear()


def test_a_vm_that_ends_on_a_full_disk_is_started_again_when_there_is_room(
    layout: Layout, full: list[bool]
) -> None:
    """A10: its restart is kept with its end, and nobody has to do anything but make room."""

    async def work(engine: Engine) -> None:
        await insert(engine, restarting(VmState.RUNNING))
        full.append(True)
        watch_death(engine)
        await until(lambda: _is_deferred(engine))
        assert (await state_of(engine))[0] is VmState.ERROR
        assert await engine.database.read(load_restart) is None
        full.clear()
        # The starts fail, since there is no such image: what counts is that they are made.
        await until(lambda: _has_restart(engine, number=3))

    with_engine(layout, work)


def test_what_its_user_stops_on_a_full_disk_is_not_started_again(
    layout: Layout, full: list[bool]
) -> None:
    """A10: the last word is the user's, also where it cannot be saved."""

    async def work(engine: Engine) -> None:
        await insert(engine, restarting(VmState.RUNNING))
        full.append(True)
        watch_death(engine)
        await until(lambda: _is_deferred(engine))

        async def is_stopped() -> bool:
            # The watcher, or who tries to save, may have it at this moment.
            with contextlib.suppress(VmBusy):
                await stop_vm(engine, engine.new_operation("vm.stop"), VmStop(ref=VM))
                return True
            return False

        await until(is_stopped)
        full.clear()

        async def is_saved() -> bool:
            return engine.runtime(VM).pending_outcome is None

        await until(is_saved)
        assert await engine.database.read(load_restart) is None
        assert engine.runtime(VM).restart is None

    with_engine(layout, work)


def test_no_death_of_the_daemon_loses_a_restart(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B5: after each transaction of starts that fail, the restart row is in the database."""
    seen: list[tuple[VmState, Restart | None]] = []
    write = Database.write

    def look(connection: Connection) -> tuple[VmState, Restart | None]:
        found = store.find_vm(connection, VM)
        assert found is not None
        return found.state, load_restart(connection)

    async def watched_write(database: Database, function: Any, *a: Any, **k: Any) -> Any:
        result = await write(database, function, *a, **k)
        seen.append(await database.read(look))
        return result

    async def work(engine: Engine) -> None:
        await _insert_ended(engine)
        monkeypatch.setattr(Database, "write", watched_write)
        engine.ended.set()
        await until(lambda: _has_restart(engine, number=3))

    with_engine(layout, work)
    assert (VmState.STARTING, Restart(1)) in seen and (VmState.ERROR, Restart(2)) in seen
    assert all(restart is not None for _, restart in seen), seen


@pytest.mark.parametrize("who", ["daemon", "user"])
def test_a_start_that_is_cut_off(layout: Layout, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    """B5: the next daemon makes it if this one ends; nobody does if its user ends it."""
    begun = asyncio.Event()

    async def hang(_: Machine, __: Operation, ___: Step) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def work(engine: Engine) -> None:
        await _insert_ended(engine)
        monkeypatch.setattr("banger.engine.steps.runner.apply", hang)
        engine.ended.set()
        await begun.wait()
        if who == "user":
            await stop_vm(engine, engine.new_operation("vm.stop"), VmStop(ref=VM))
            assert (await state_of(engine))[0] is VmState.STOPPED

    async def look(layout: Layout) -> Restart | None:
        database = await store.open_database(layout.database)
        try:
            return await database.read(load_restart)
        finally:
            await database.close()

    with_engine(layout, work)
    assert asyncio.run(look(layout)) == (Restart(1) if who == "daemon" else None)


async def _insert_ended(engine: Engine) -> None:
    """Insert a VM that ended by itself and waits for its first start."""
    await insert(engine, restarting(VmState.ERROR))
    for step in plan_create(VM, record().spec):
        await act(engine, step)
    row = msgspec.json.encode(Restart(1))
    await engine.database.write(store.save_handle, VM, RESTART, row)


async def _is_deferred(engine: Engine) -> bool:
    return engine.runtime(VM).pending_outcome is not None


async def _has_restart(engine: Engine, *, number: int) -> bool:
    restart = await engine.database.read(load_restart)
    return restart is not None and restart.number >= number
