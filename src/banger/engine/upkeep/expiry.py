"""End VMs whose time to live is over, or that have been idle for long enough.

A VM is stopped as by its user, with a flush of its data; one that lives only for a client's
connection (`run --rm`) is deleted. It is in use while a command runs in it through us, a copy or
a forwarded connection is open, a workspace is prepared or exported, or its VMM uses processor
time. `engine.lifetime` says by which clocks all that is counted.

The loop sleeps until the next VM is due or to be looked at; the start of a VM wakes it. If the
process dies, the next daemon continues to count.
"""

from __future__ import annotations

import asyncio
import contextlib
from sqlite3 import Connection

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.handles import parse_handle
from banger.engine.state.lifetime import (
    LIFETIME,
    WARN_S,
    Clock,
    NextEnd,
    begin_lifetime,
    is_working,
    parse_lifetime,
    plan_ending,
    read_clock,
    say_left,
    say_why,
)
from banger.engine.state.lookup import correct_record
from banger.engine.state.machine import load_machine
from banger.engine.state.notices import notify
from banger.engine.state.runtime import VmRuntime
from banger.engine.state.tasks import finish_shielded
from banger.engine.transitions.delete import delete_now
from banger.engine.transitions.stop import stop_held
from banger.errors import BangerError
from banger.host.usage import read_cpu_s
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState
from banger.vmm.driver import VmmHandle

Handles = dict[VmId, bytes]

SLEEP_MAX_S = 30.0
"""After this long the loop notices a change by itself."""
SLEEP_MIN_S = 0.2
LOOKS = 4
"""So many looks at whether a VM is idle in the time after which it is stopped."""
IN_USE = 0.1
"""Of one processor. An idle guest takes less, and its timers, too; ADR 0051 has figures."""


async def end_what_is_over(engine: Engine) -> None:
    """End each VM when it is due, for ever."""
    while True:
        engine.started.clear()
        sleep_s = await _look_at_all(engine)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(SLEEP_MIN_S, min(sleep_s, SLEEP_MAX_S))):
                await engine.started.wait()


async def _look_at_all(engine: Engine) -> float:
    """Look at every VM that may end by itself; return the seconds until the next look."""
    records, lifetimes, vmms = await engine.database.read(_load)
    looks = {
        engine.tasks.start(_look(engine, record, lifetimes.get(record.id), vmms.get(record.id)))
        for record in (correct_record(engine, saved) for saved in records)
        if record.state in (VmState.RUNNING, VmState.PAUSED)
        and (record.spec.ending.ttl_s or record.spec.ending.auto_stop_s)
    }
    if looks:
        await asyncio.wait(looks)
    return min((look.result() for look in looks if not look.exception()), default=SLEEP_MAX_S)


async def _look(
    engine: Engine, record: VmRecord, untrusted_lifetime: bytes | None, vmm_row: bytes | None
) -> float:
    """Look at one VM; end it if it is due. Return the seconds until the next look."""
    runtime, spec, now = engine.runtime(record.id), record.spec, read_clock()
    sleep_s = SLEEP_MAX_S
    if spec.ending.auto_stop_s:
        sleep_s = spec.ending.auto_stop_s / LOOKS
        _note_use(runtime, vmm_row, sleep_s, now)
    lifetime = parse_lifetime(untrusted_lifetime)
    if lifetime is None:
        # Damaged (B9): counted from now, so that it ends at all, and not too early.
        await engine.database.write(store.save_handle, record.id, LIFETIME, begin_lifetime())
    ending = plan_ending(spec, record.state, lifetime, runtime, now)
    if ending is None or ending.left_s > WARN_S:
        runtime.warned_by = None
    if ending is None:
        return sleep_s
    if ending.left_s > WARN_S:
        return min(sleep_s, ending.left_s - WARN_S)
    if ending.left_s > 0:
        _warn(engine, record, ending)
        return min(sleep_s, ending.left_s)
    if runtime.lifecycle.holder is None:
        engine.tasks.start(_end(engine, record, ending))
    return sleep_s


def _load(connection: Connection) -> tuple[list[VmRecord], Handles, Handles]:
    return (
        store.load_vms(connection),
        store.load_handles_of_kind(connection, LIFETIME),
        store.load_handles_of_kind(connection, "vmm"),
    )


def _note_use(
    runtime: VmRuntime, untrusted_handle: bytes | None, window_s: float, now: Clock
) -> None:
    """Note that a VM is in use at this moment, or was since the last look."""
    if runtime.used_at is None or is_working(runtime):
        runtime.used_at = now.monotonic_s
    looked_at, cpu_s = runtime.cpu_seen
    if now.monotonic_s - looked_at < window_s * 0.9:
        return
    handle = parse_handle(untrusted_handle, VmmHandle)
    used_s = None if handle is None else read_cpu_s(handle.process)
    if used_s is None:
        return
    runtime.cpu_seen = (now.monotonic_s, used_s)
    # The first look after a start has nothing to compare with: that is use enough.
    if not looked_at or used_s - cpu_s > IN_USE * (now.monotonic_s - looked_at):
        runtime.used_at = now.monotonic_s


def _warn(engine: Engine, record: VmRecord, ending: NextEnd) -> None:
    """Say once, shortly before, that a VM is going to end."""
    runtime = engine.runtime(record.id)
    if runtime.warned_by != ending.by:
        runtime.warned_by = ending.by
        notify(engine, record, say_left(record.spec, ending))


async def _end(engine: Engine, record: VmRecord, ending: NextEnd) -> None:
    """Stop a VM, or delete it if it was to go with its client's connection."""
    why = say_why(record.spec, ending)
    runtime = engine.runtime(record.id)
    method = "vm.delete" if record.spec.ending.ephemeral else "vm.stop"
    with (
        contextlib.suppress(BangerError),  # logged step by step; it is tried again
        engine.operations.own(method, record.id) as op,
    ):
        async with runtime.lifecycle.hold(op):
            if not await _is_due(engine, record.id):
                return  # its user has started it anew, or has used it
            notify(engine, record, why)
            if record.spec.ending.ephemeral:
                await delete_now(engine, op, record.id)
            else:
                machine = await load_machine(engine, record.id)
                await finish_shielded(stop_held(machine, op, why=why))


async def _is_due(engine: Engine, vm_id: VmId) -> bool:
    """Decide again under the lock, which keeps others from starting or ending the VM."""
    record = await engine.database.read(store.find_vm, vm_id)
    if record is None:
        return False
    handles = await engine.database.read(store.load_handles, vm_id)
    lifetime = parse_lifetime(handles.get(LIFETIME))
    runtime = engine.runtime(vm_id)
    ending = plan_ending(record.spec, record.state, lifetime, runtime, read_clock())
    return ending is not None and ending.left_s <= 0
