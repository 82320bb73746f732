"""VMs' current use of the host. Changes nothing (B8); takes no locks.

All VMs are looked at side by side, and each for the same time: nothing here waits longer than
the interval, or than an agent's deadline. A guest that is paused is not asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from banger import guest, store
from banger.api.method import serves
from banger.api.usage import TotalUse, UseSample, VmHistory, VmStats, VmsUse, VmUse
from banger.engine.state.engine import Engine
from banger.engine.state.handles import parse_handle
from banger.engine.state.lookup import correct_record, get_connection, get_vm
from banger.errors import BangerError, InvalidRequest
from banger.host.usage import MemoryUse, read_cpu_s, read_memory
from banger.model.vm import LIVE, VmRecord, VmState, is_hidden
from banger.vmm.driver import VmmHandle

AGENT_DEADLINE_S = 2.0
INTERVAL_MAX_S = 60.0
NO_ANSWER = "Its agent does not answer."
NO_LOOK = "The host does not allow banger to read its memory usage."


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of one VMM; None: it had ended, or the host does not tell."""

    cpu_percent: float | None = None
    memory: MemoryUse | None = None
    notice: str | None = None


@serves("vm.stats")
async def read_stats(engine: Engine, params: VmStats) -> VmsUse:
    """Return what VMs take: processor time over an interval, memory and disk at its end.

    Raises:
        InvalidRequest: the interval is not one.
        VmNotFound, VmAmbiguous: a reference is not one VM's.
    """
    if not 0 < params.interval_s <= INTERVAL_MAX_S:
        raise InvalidRequest(
            f"An interval must be more than 0 and at most {INTERVAL_MAX_S:g} seconds."
        )
    if params.refs is None:
        saved = await engine.database.read(store.load_vms)
        records = [correct_record(engine, each) for each in saved if not is_hidden(each)]
        records = [each for each in records if each.state in LIVE]
    else:
        found = [await get_vm(engine, ref) for ref in params.refs]
        records = list({each.id: each for each in found}.values())
    uses = await asyncio.gather(*(_use(engine, each, params.interval_s) for each in records))
    return VmsUse(interval_s=params.interval_s, vms=list(uses), total=sum_uses(uses))


@serves("vm.history")
async def read_history(engine: Engine, params: VmHistory) -> list[UseSample]:
    """Return the samples of one VM, oldest first."""
    record = await get_vm(engine, params.ref)
    since = -math.inf if params.since is None else params.since
    return [
        UseSample(
            ended_at=sample.at,
            interval_s=round(sample.interval_s, 3),
            cpu_percent=round(sample.cpu_percent, 2),
            resident_bytes=sample.resident_kib * 1024,
            private_bytes=sample.private_kib * 1024,
            disk_allocated_bytes=sample.disk_kib * 1024,
        )
        for sample in engine.runtime(record.id).history.since(since)
    ]


def sum_uses(uses: Sequence[VmUse]) -> TotalUse:
    """Return what VMs take together; a page that several of them share counts once."""
    private = sum(use.private_bytes or 0 for use in uses)
    memory = sum(use.proportional_bytes or 0 for use in uses)
    return TotalUse(
        vms=sum(use.resident_bytes is not None for use in uses),
        cpu_percent=sum(use.cpu_percent or 0.0 for use in uses),
        memory_bytes=memory,
        private_bytes=private,
        shared_bytes=memory - private,
        disk_allocated_bytes=sum(use.disk_allocated_bytes for use in uses),
    )


async def _use(engine: Engine, record: VmRecord, interval_s: float) -> VmUse:
    handles = await engine.database.read(store.load_handles, record.id)
    handle = parse_handle(handles.get("vmm"), VmmHandle) if record.state in LIVE else None
    is_running = record.state is VmState.RUNNING
    look, agent_ms = await asyncio.gather(
        _look(handle, interval_s),
        _round_trip_ms(engine, record) if is_running else _nothing(),
    )
    memory = look.memory
    size, allocated = _disk(engine, record)
    return VmUse(
        id=record.id,
        name=record.spec.name,
        state=record.state,
        cpu_percent=look.cpu_percent,
        resident_bytes=memory.resident if memory else None,
        private_bytes=memory.private if memory else None,
        shared_bytes=memory.shared if memory else None,
        proportional_bytes=memory.proportional if memory else None,
        disk_bytes=size,
        disk_allocated_bytes=allocated,
        agent_ms=agent_ms,
        notice=NO_ANSWER if is_running and agent_ms is None else look.notice,
    )


async def _look(handle: VmmHandle | None, interval_s: float) -> Look:
    """Watch a VMM for an interval."""
    if handle is None:
        return Look()
    before, begun = read_cpu_s(handle.process), time.monotonic()
    await asyncio.sleep(interval_s)
    after, seconds = read_cpu_s(handle.process), time.monotonic() - begun
    percent = None if before is None or after is None else 100 * (after - before) / seconds
    try:
        memory = await asyncio.to_thread(read_memory, handle.process)
    except PermissionError:
        return Look(cpu_percent=percent, notice=NO_LOOK)
    return Look(cpu_percent=percent, memory=memory)


async def _round_trip_ms(engine: Engine, record: VmRecord) -> float | None:
    """Return how long an agent's answer takes; None if there is none in time."""
    with contextlib.suppress(BangerError, TimeoutError):
        async with asyncio.timeout(AGENT_DEADLINE_S):
            connection = await get_connection(engine, record)
            begun = time.monotonic()
            await guest.ping(connection, deadline_s=AGENT_DEADLINE_S)
            return (time.monotonic() - begun) * 1000
    return None


async def _nothing() -> None:
    """Stand for an agent that is not asked."""


def _disk(engine: Engine, record: VmRecord) -> tuple[int, int]:
    """Return the size of a VM's data disk, and what it takes of the host's."""
    try:
        facts = engine.layout.vm_data_disk(record.id).stat()
    except FileNotFoundError:  # not made yet, or deleted at this moment
        return record.spec.shape.disk_mib * 2**20, 0
    return facts.st_size, facts.st_blocks * 512
