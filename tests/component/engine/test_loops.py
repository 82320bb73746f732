"""The daemon's loops: a bug in one VM is its own trouble (B9)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from msgspec.structs import replace

from banger import store
from banger.api.requests import VmStop
from banger.config import load_settings
from banger.engine import open_engine
from banger.engine.state.engine import Engine
from banger.engine.state.lifetime import Clock, Lifetime, NextEnd, plan_ending
from banger.engine.state.restartpolicy import Restart
from banger.engine.state.runtime import RESTART, VmRuntime
from banger.engine.upkeep import expiry, loops
from banger.engine.verbs.vms import stop_vm
from banger.engine.views.vms import show_vm
from banger.layout import layout_from_environment
from banger.model.names import VmId
from banger.model.vm import RestartPolicy, VmRecord, VmSpec, VmState
from tests.component.engine.test_recovery import insert, record
from tests.support.specs import change_spec


def vm(number: int) -> VmRecord:
    made = record(VmState.RUNNING)
    spec = change_spec(made.spec, name=f"vm-{number}", ttl_s=30.0)
    return replace(made, id=VmId(f"{number:012x}"), spec=spec)


def test_a_bug_in_one_vm_holds_up_nobody(
    private_environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """B9: the first VM cannot be looked at; the second is warned of all the same.

    Both lack the row that says since when they run, and get one.
    """

    def buggy(
        spec: VmSpec, state: VmState, lifetime: Lifetime | None, runtime: VmRuntime, now: Clock
    ) -> NextEnd | None:
        if spec.name == "vm-1":
            raise ZeroDivisionError("a bug of the test's own")
        return plan_ending(spec, state, lifetime, runtime, now)

    monkeypatch.setattr(expiry, "plan_ending", buggy)
    layout = layout_from_environment(private_environ)

    async def work() -> None:
        async with open_engine(layout, lambda: load_settings(layout.config_file, {})) as engine:
            for number in (1, 2):
                await insert(engine, vm(number))
            with engine.events.listening() as listener:
                while not await listener.wait(0):
                    engine.started.set()
                    await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(work(), 60))
    assert "a bug of the test's own" in caplog.text
    assert "vm-2 (000000000002): It will be stopped in" in caplog.text


def test_a_loop_that_fails_is_begun_anew(
    private_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()
    times = []

    async def failing(_: Engine) -> None:
        times.append(1)
        if len(times) > 1:
            begun.set()
        raise ZeroDivisionError("a bug of the test's own")

    monkeypatch.setattr(loops, "LOOPS", (failing,))
    monkeypatch.setattr(loops, "RETRY_S", 0.0)
    layout = layout_from_environment(private_environ)

    async def work() -> None:
        async with open_engine(layout, lambda: load_settings(layout.config_file, {})):
            await begun.wait()

    asyncio.run(asyncio.wait_for(work(), 60))


def test_a_start_that_waits_outlives_the_daemon_and_not_its_users_stop(
    private_environ: dict[str, str],
) -> None:
    """B5: the restart row is in the database until somebody wants the VM to stay as it is."""
    layout = layout_from_environment(private_environ)
    settings = load_settings(layout.config_file, {})
    ended = replace(vm(1), state=VmState.ERROR)
    ended = replace(ended, spec=change_spec(ended.spec, restart=RestartPolicy.ALWAYS))

    async def end() -> None:
        async with open_engine(layout, lambda: settings) as engine:
            await insert(engine, ended)
            row = msgspec.json.encode(Restart(9))
            await engine.database.write(store.save_handle, ended.id, RESTART, row)

    async def stop() -> None:
        async with open_engine(layout, lambda: settings) as engine:
            runtime = engine.runtime(ended.id)
            while runtime.restart is None:  # noqa: ASYNC110 - nobody else needs such an event
                await asyncio.sleep(0)
            waiting = runtime.restart.task
            assert (await show_vm(engine, "vm-1")).notice == "Restarts in 60 s."
            await stop_vm(engine, engine.new_operation("vm.stop"), VmStop(ref="vm-1"))
            await asyncio.wait({waiting})
            assert waiting.cancelled()
            assert runtime.restart is None
            assert await engine.database.read(store.load_handles, ended.id) == {}

    asyncio.run(asyncio.wait_for(end(), 60))
    asyncio.run(asyncio.wait_for(stop(), 60))
