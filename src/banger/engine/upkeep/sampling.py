"""Take samples of what VMs use of the host, for `vm stats --history`.

One turn of a thread for all VMs: a clock and two small files of each, and no guest is asked
(ADR 0092 has figures). While no VM runs the loop waits for one. Takes no locks, saves nothing: the
next daemon begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import NamedTuple

from banger.engine.state.engine import Engine
from banger.engine.state.history import Sample
from banger.host.identity import ProcessIdentity
from banger.host.usage import read_cpu_s, read_size_kib
from banger.model.names import VmId

OFF_S = 30.0
"""While no samples are wanted, the setting is looked at this often."""

log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """What the kernel has counted of one VM."""

    read_at: float
    """By CLOCK_MONOTONIC."""
    vmm: ProcessIdentity
    cpu_s: float
    resident_kib: int
    private_kib: int
    disk_kib: int


async def keep_histories(engine: Engine) -> None:
    """Add to the history of each VM that has a VMM, for ever."""
    before: dict[VmId, Reading] = {}
    while True:
        interval_s = engine.settings.stats_interval_s
        vmms = {vm_id: each.vmm for vm_id, each in engine.runtimes.items() if each.vmm}
        readings: dict[VmId, Reading] = {}
        if not vmms:
            await engine.started.wait()
        elif interval_s:
            readings = await asyncio.to_thread(_read_all, engine, vmms)
            _add_samples(engine, before, readings)
        before = readings
        # Always: `started` stays set until another loop clears it.
        await asyncio.sleep(interval_s or OFF_S)


def _add_samples(
    engine: Engine, before: dict[VmId, Reading], readings: dict[VmId, Reading]
) -> None:
    for vm_id, now in readings.items():
        earlier, runtime = before.get(vm_id), engine.runtimes.get(vm_id)
        if earlier is not None and earlier.vmm == now.vmm and runtime is not None:
            runtime.history.add(compare(earlier, now, at=engine.now()))


def compare(earlier: Reading, now: Reading, *, at: float) -> Sample:
    """Return the sample between two readings of one VMM. Pure."""
    seconds = now.read_at - earlier.read_at
    used = (now.cpu_s - earlier.cpu_s) / seconds
    return Sample(at, seconds, 100 * used, now.resident_kib, now.private_kib, now.disk_kib)


def _read_all(engine: Engine, vmms: dict[VmId, ProcessIdentity]) -> dict[VmId, Reading]:
    found = {}
    for vm_id, vmm in vmms.items():
        try:
            reading = _read(vmm, engine.layout.vm_data_disk(vm_id))
        except OSError as error:
            log.warning("what %s uses cannot be read: %s", vm_id, error)
        else:
            if reading is not None:
                found[vm_id] = reading
    return found


def _read(vmm: ProcessIdentity, disk: Path) -> Reading | None:
    """Read what one VM has used; None if its VMM has ended."""
    sizes = read_size_kib(vmm)
    cpu_s = read_cpu_s(vmm)
    if sizes is None or cpu_s is None:
        return None
    try:
        blocks = disk.stat().st_blocks
    except FileNotFoundError:  # the VM is being deleted
        return None
    return Reading(time.monotonic(), vmm, cpu_s, *sizes, blocks // 2)
