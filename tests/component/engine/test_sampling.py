"""The samples of what VMs use: a real engine, and real processes in the place of VMMs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from banger.api.usage import UseSample, VmHistory
from banger.config import load_settings
from banger.engine import open_engine
from banger.engine.state.engine import Engine
from banger.engine.upkeep import sampling
from banger.engine.views.stats import read_history
from banger.host.identity import ProcessIdentity, identify
from banger.layout import layout_from_environment
from banger.model.vm import VmState
from banger.settings import Settings
from tests.component.engine.test_recovery import VM, insert, record

BUSY = "x = bytearray(30 << 20)\nwhile True: pass"


async def newest(engine: Engine, is_wanted: Callable[[UseSample], bool]) -> UseSample:
    """Wait for a newest sample that is wanted."""
    found: list[UseSample] = []
    while not found or not is_wanted(found[-1]):
        await asyncio.sleep(0.05)
        found = await read_history(engine, VmHistory(ref=VM))
    return found[-1]


@contextlib.contextmanager
def running(*argv: str) -> Iterator[ProcessIdentity]:
    with subprocess.Popen(argv) as process:
        try:
            identity = identify(process.pid)
            assert identity is not None
            yield identity
        finally:
            process.kill()


def occupy_disk(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 2**20)


def test_what_a_vmm_uses_is_sampled_while_there_is_one(private_environ: dict[str, str]) -> None:
    layout = layout_from_environment(private_environ)

    def settings() -> Settings:
        return load_settings(layout.config_file, {"BANGER_STATS_INTERVAL_S": "1"})

    async def work() -> None:
        async with open_engine(layout, settings) as engine:
            await insert(engine, record(VmState.STOPPED))
            occupy_disk(layout.vm_data_disk(VM))
            runtime = engine.runtime(VM)
            with running("/usr/bin/python3", "-c", BUSY) as runtime.vmm:
                engine.started.set()
                last = await newest(engine, lambda each: each.private_bytes > 30 * 2**20)
            assert last.cpu_percent > 0
            assert last.resident_bytes > last.private_bytes
            assert last.disk_allocated_bytes >= 2**20
            # Another process is another VMM: nothing is told of what lies between.
            with running("/usr/bin/sleep", "600") as runtime.vmm:
                last = await newest(engine, lambda each: each.private_bytes < 10 * 2**20)
            assert 0 <= last.cpu_percent < 10
            assert await read_history(engine, VmHistory(ref=VM, since=last.ended_at)) == []

    asyncio.run(asyncio.wait_for(work(), 60))


def test_nothing_is_read_where_no_samples_are_wanted(
    private_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = layout_from_environment(private_environ)
    wanted = {"BANGER_STATS_INTERVAL_S": "0"}
    monkeypatch.setattr(sampling, "OFF_S", 0.0)
    looks, turned_often = itertools.count(1), asyncio.Event()

    def settings() -> Settings:
        # The loop asks once a turn; a sample needs two turns that read.
        if next(looks) == 100:
            turned_often.set()
        return load_settings(layout.config_file, wanted)

    async def work() -> None:
        async with open_engine(layout, settings) as engine:
            await insert(engine, record(VmState.STOPPED))
            occupy_disk(layout.vm_data_disk(VM))
            with running("/usr/bin/sleep", "600") as engine.runtime(VM).vmm:
                engine.started.set()
                await turned_often.wait()
                assert await read_history(engine, VmHistory(ref=VM)) == []
                wanted["BANGER_STATS_INTERVAL_S"] = "1"
                await newest(engine, lambda _: True)

    asyncio.run(asyncio.wait_for(work(), 60))


def test_a_start_without_a_vmm_leaves_the_others_their_turn(
    private_environ: dict[str, str],
) -> None:
    """B9: as of a VM whose handle is damaged; `started` may stay set meanwhile."""
    layout = layout_from_environment(private_environ)

    async def work() -> None:
        settings = partial(load_settings, layout.config_file, {})
        async with open_engine(layout, settings) as engine:
            for _ in range(100):
                engine.started.set()
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(work(), 60))
