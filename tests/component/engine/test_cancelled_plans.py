"""A plan whose caller is cancelled: it is undone, or its outcome is saved. Real steps and rows."""

from __future__ import annotations

import asyncio

import pytest

from banger import store
from banger.config import load_settings
from banger.engine import open_engine
from banger.engine.state.machine import Machine, load_machine
from banger.engine.state.operations import Operation
from banger.engine.steps import runner
from banger.engine.steps.runner import apply
from banger.layout import layout_from_environment
from banger.plan.steps import MakeRuntimeDir, MakeVmDir, Step
from tests.component.engine.test_recovery import VM, insert, record

TURNS = 8
"""Of the loop, after a step has acted: more than pass until the next one is journalled."""


@pytest.mark.parametrize("turns", range(TURNS))
def test_a_cancellation_between_two_steps_is_not_lost(
    private_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """B3, H5: whichever turn of the loop brings it. A deadline comes as one, too, and only once."""
    layout = layout_from_environment(private_environ)

    async def cancel(task: asyncio.Task[None]) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()

    async def run() -> None:
        async with open_engine(layout, lambda: load_settings(layout.config_file, {})) as engine:
            await insert(engine, record())
            op = engine.new_operation("vm.start")
            await engine.database.write(
                store.begin_operation, op.id, "vm.start", VM, now=engine.now()
            )
            cancelling: list[asyncio.Task[None]] = []

            async def act(machine: Machine, op: Operation, step: Step) -> None:
                await apply(machine, op, step)
                if isinstance(step, MakeVmDir):
                    cancelling.append(asyncio.create_task(cancel(task)))

            monkeypatch.setattr(runner, "apply", act)
            saved: list[bool] = []
            plan = (MakeVmDir(vm_id=VM), MakeRuntimeDir(vm_id=VM))
            machine = await load_machine(engine, VM)
            task = asyncio.create_task(
                runner.run_undoable(machine, op, plan, save=lambda _: saved.append(True))
            )
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not saved and not layout.vm_dir(VM).exists()

    asyncio.run(asyncio.wait_for(run(), 60))
