"""Check whether the host has memory for one more VM, before anything of it is created.

A guest takes its memory bit by bit. So of what the host has available, everything is spoken
for that running VMs may take yet, and what operations in progress have been promised. Since few
guests take all that they may, and give back what they free, all of it together may exceed what is
there by the factor `memory_overcommit`; a single VM may not. A user who knows better says `force`.

Promises are in memory, one for each operation, and last until its VMs run; what such a VM takes
meanwhile is counted twice, on the safe side. Takes no locks: between the last look at the numbers
and the promise nothing else runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.handles import parse_handle
from banger.engine.state.operations import Operation
from banger.errors import NotEnoughMemory, NotEnoughProcessors
from banger.host.memory import read_taken_mib
from banger.model.names import VmId
from banger.model.vm import LIVE, VmRecord, is_hidden
from banger.sizes import format_size
from banger.vmm.driver import VmmHandle

FEW_PROCESSORS = 4
"""So many are possible on any host."""


@contextlib.asynccontextmanager
async def promised_memory(
    engine: Engine,
    op: Operation,
    each_mib: int,
    *,
    number: int = 1,
    instead_of: VmId | None = None,
    force: bool,
) -> AsyncIterator[None]:
    """Have memory for guests of one size set aside for a block that starts them.

    `instead_of`: a VM that is ended first; what it has is there for them.

    Raises:
        NotEnoughMemory: the host does not have it; the message has the numbers.
    """
    records = await engine.database.read(store.load_vms)
    handles = await engine.database.read(store.load_handles_of_kind, "vmm")
    others = [record for record in _others(engine, records) if record.id != instead_of]
    running_mib = await asyncio.to_thread(_still_to_take, others, handles)
    given_back_mib = 0 if instead_of is None else _taken_mib(handles.get(instead_of))
    available_mib = engine.available_mib() + given_back_mib
    spoken_for_mib = running_mib + sum(engine.promises.values())
    if not force:
        require_room(
            each_mib,
            number=number,
            available_mib=available_mib,
            spoken_for_mib=spoken_for_mib,
            overcommit=engine.settings.memory_overcommit,
        )
    engine.promises[op.id] = each_mib * number
    try:
        yield
    finally:
        del engine.promises[op.id]


def require_room(
    each_mib: int, *, number: int, available_mib: int, spoken_for_mib: int, overcommit: int
) -> None:
    """Check that there is room for guests. Pure.

    Raises:
        NotEnoughMemory: there is not.
    """
    wanted_mib = each_mib * number
    fits_together = wanted_mib + spoken_for_mib <= available_mib * overcommit
    if each_mib <= available_mib and fits_together:
        return
    others = (
        f", of which other VMs may take {format_size(spoken_for_mib)}" if spoken_for_mib else ""
    )
    allowed = f" (overcommitted {overcommit} times)" if overcommit > 1 else ""
    raise NotEnoughMemory(
        f"{format_size(wanted_mib)} of memory is needed; the host has "
        f"{format_size(available_mib)} available{allowed}{others}.",
        hint="banger vm stop VM, a smaller --memory, or --force",
    )


def require_processors(vcpu: int, *, force: bool) -> None:
    """Check that a guest's processors are not many times the host's.

    A guest waits for each of its processors in turn: with many more than the host has, booting
    alone takes minutes.

    Raises:
        NotEnoughProcessors: they are more than twice the host's, and more than a few.
    """
    cores = len(os.sched_getaffinity(0))
    most = max(FEW_PROCESSORS, 2 * cores)
    if vcpu > most and not force:
        raise NotEnoughProcessors(
            f"{vcpu} virtual CPUs are too many for this host, which has {cores}; the limit "
            f"is {most}.",
            hint=f"--vcpu {cores}, or --force",
        )


def _others(engine: Engine, records: list[VmRecord]) -> list[VmRecord]:
    """Return the VMs that run, without those that an operation with a promise works on."""
    found = []
    for record in records:
        runtime = engine.runtimes.get(record.id)
        holder = runtime.lifecycle.holder if runtime else None
        # The engine's own are in their asker's promise, or go when memory is short.
        is_users = record.state in LIVE and not is_hidden(record)
        if is_users and (holder is None or holder.id not in engine.promises):
            found.append(record)
    return found


def _still_to_take(records: list[VmRecord], handles: dict[VmId, bytes]) -> int:
    """Return the memory that running VMs may take yet, in MiB."""
    total = 0
    for record in records:
        total += max(record.spec.shape.memory_mib - _taken_mib(handles.get(record.id)), 0)
    return total


def _taken_mib(untrusted_handle: bytes | None) -> int:
    handle = parse_handle(untrusted_handle, VmmHandle)
    return 0 if handle is None else read_taken_mib(handle.process)
