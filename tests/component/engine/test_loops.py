"""The daemon's loops: a bug in one VM is its own trouble (B9)."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from banger.config import load_settings
from banger.engine import open_engine
from banger.engine.engine import Engine
from banger.engine.lifetime import Clock, Ending, Lifetime, plan_ending
from banger.engine.live import LiveVm
from banger.engine.upkeep import expiry, loops
from banger.layout import layout_from_environment
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmSpec, VmState
from tests.component.engine.test_recovery import insert, record


def vm(number: int) -> VmRecord:
    made = record(VmState.RUNNING)
    spec = replace(made.spec, name=f"vm-{number}", ttl_s=30.0)
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
        spec: VmSpec, state: VmState, lifetime: Lifetime | None, live: LiveVm, now: Clock
    ) -> Ending | None:
        if spec.name == "vm-1":
            raise ZeroDivisionError("a bug of the test's own")
        return plan_ending(spec, state, lifetime, live, now)

    monkeypatch.setattr(expiry, "plan_ending", buggy)
    layout = layout_from_environment(private_environ)

    async def work() -> None:
        async with open_engine(layout, load_settings(layout.config_file, {})) as engine:
            for number in (1, 2):
                await insert(engine, vm(number))
            with engine.events.listening() as listener:
                while not await listener.wait(0):
                    engine.started.set()
                    await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(work(), 60))
    assert "a bug of the test's own" in caplog.text
    assert "vm-2 (000000000002): It is stopped in" in caplog.text


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
    monkeypatch.setattr(loops, "AGAIN_S", 0.0)
    layout = layout_from_environment(private_environ)

    async def work() -> None:
        async with open_engine(layout, load_settings(layout.config_file, {})):
            await begun.wait()

    asyncio.run(asyncio.wait_for(work(), 60))
