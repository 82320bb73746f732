"""What the journal costs a verb, and how long a new daemon takes to recover (ADR 0002).

The engine in this process, with a database of its own below the stage's directory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec

from banger import store
from banger.config import load_settings
from banger.engine import Engine, open_engine
from banger.engine.state.machine import load_machine
from banger.engine.steps.runner import apply
from banger.layout import Layout
from banger.model.names import OperationId, VmId
from banger.model.vm import VmRecord, VmState
from banger.plan.lifecycle import plan_create
from banger.plan.steps import EndVmm
from tests.bench.result import Result
from tests.bench.stage import Stage
from tests.support.specs import make_spec

STEPS = 1000
STARTS = 20
VMS = 200
OPERATION = OperationId("op-dead")


def measure_journal(stage: Stage) -> Result:
    """One step's two records, each in its transaction, as the runner writes them."""
    samples: list[float] = []

    async def work(engine: Engine) -> None:
        vm = make_record(0)
        write = engine.database.write
        await write(store.insert_vm, vm)
        await write(store.begin_operation, OPERATION, "vm.start", vm.id, now=1.0)
        step = msgspec.json.encode(EndVmm(vm_id=vm.id))
        for number in range(STEPS):
            started = time.perf_counter()
            await write(store.record_step, OPERATION, number, step, "started")
            await write(store.record_step, OPERATION, number, step, "done")
            samples.append((time.perf_counter() - started) * 1000)

    asyncio.run(_with_engine(_layout(stage, "journal"), work))
    return Result("journal", "ms", {"one step, started and done": samples}, "-")


def measure_recovery(stage: Stage) -> Result:
    """From opening the database to where a daemon would listen; in turns."""
    preparations = {
        "no VM": _prepare_nothing,
        f"{VMS} stopped VMs": _prepare_stopped,
        "one create that was cut off": _prepare_open_create,
    }
    samples: dict[str, list[float]] = {label: [] for label in preparations}
    for number in range(STARTS):
        for label, prepare in preparations.items():
            layout = _layout(stage, f"{prepare.__name__}{number}")
            asyncio.run(_with_engine(layout, prepare))
            samples[label].append(asyncio.run(_time_recovery(layout)) * 1000)
    return Result("recovery", "ms", samples, "under 5 s")


async def _time_recovery(layout: Layout) -> float:
    started = time.perf_counter()
    async with open_engine(layout, lambda: load_settings(layout.config_file, {})) as engine:
        took = time.perf_counter() - started
        assert await engine.database.read(store.load_open_operations) == []
    return took


async def _prepare_nothing(_: Engine) -> None:
    pass


async def _prepare_stopped(engine: Engine) -> None:
    for number in range(VMS):
        await engine.database.write(store.insert_vm, make_record(number, VmState.STOPPED))


async def _prepare_open_create(engine: Engine) -> None:
    """All that a create makes is there, and nobody wrote that it is."""
    vm = make_record(0)
    await engine.database.write(store.insert_vm, vm)
    await engine.database.write(store.begin_operation, OPERATION, "vm.create", vm.id, now=1.0)
    for number, step in enumerate(plan_create(vm.id, vm.spec)):
        payload = msgspec.json.encode(step)
        await engine.database.write(store.record_step, OPERATION, number, payload, "started")
        await apply(await load_machine(engine, vm.id), engine.new_operation("vm.create"), step)


async def _with_engine(
    layout: Layout, work: Callable[[Engine], Coroutine[object, object, None]]
) -> None:
    async with open_engine(layout, lambda: load_settings(layout.config_file, {})) as engine:
        await work(engine)


def _layout(stage: Stage, name: str) -> Layout:
    top: Path = stage.directory / name
    return Layout(
        config=top / "c", data=top / "d", state=top / "s", cache=top / "k", runtime=top / "r"
    )


def make_record(number: int, state: VmState = VmState.CREATED) -> VmRecord:
    """Return a VM that does not run."""
    spec = make_spec(name=f"many-{number}", disk_mib=64)
    return VmRecord(id=VmId(f"{number:012x}"), spec=spec, state=state, created_at=float(number))
