"""Find a VM by the reference that its user typed, and the connection to its guest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from banger import store
from banger.engine.state.agent import reach_agent
from banger.engine.state.engine import Engine
from banger.engine.state.handles import parse_handle
from banger.errors import GuestGone, InvalidRequest, VmAmbiguous, VmNotFound, WrongState
from banger.guest import GuestConnection
from banger.host.identity import is_alive
from banger.model.names import VmId, find_matches
from banger.model.vm import VmRecord, VmState, is_hidden
from banger.nearnames import format_near_hint
from banger.vmm.driver import VmmHandle

RECONNECT_DEADLINE_S = 15.0
TRIES, PAUSE_S = 5, 0.2

T = TypeVar("T")


async def get_vm(engine: Engine, untrusted_ref: str) -> VmRecord:
    """Return the VM that a name, an id or a unique prefix means.

    Raises:
        VmNotFound: none.
        VmAmbiguous: several; the message lists them.
    """
    if not untrusted_ref:
        raise InvalidRequest("The name of the VM is empty.", hint="banger vm list")
    records = {
        record.id: correct_record(engine, record)
        for record in await engine.database.read_kept(store.load_vms)
        if not is_hidden(record)
    }
    matches = find_matches(untrusted_ref, [(r.id, r.spec.name) for r in records.values()])
    if not matches:
        names = [record.spec.name for record in records.values()]
        hint = format_near_hint(untrusted_ref, names, see="banger vm list")
        raise VmNotFound(f"There is no VM {untrusted_ref}.", hint=hint)
    if len(matches) > 1:
        candidates = ", ".join(f"{name} ({vm_id})" for vm_id, name in matches)
        raise VmAmbiguous(f"{untrusted_ref} is ambiguous: {candidates}.")
    engine.operations.concerns(matches[0][0])
    return records[matches[0][0]]


async def reload_vm(engine: Engine, vm_id: VmId) -> VmRecord:
    """Return a VM that was found before, as it is now.

    Raises:
        VmNotFound: it was deleted meanwhile.
    """
    return require_found(engine, vm_id, await engine.database.read(store.find_vm, vm_id))


def require_found(engine: Engine, vm_id: VmId, saved: VmRecord | None) -> VmRecord:
    """Return a VM's record as it is now, from its row.

    Raises:
        VmNotFound: it has no row: it was deleted meanwhile.
    """
    if saved is None:
        raise VmNotFound(f"The VM {vm_id} was deleted.", hint="banger vm list")
    return correct_record(engine, saved)


def correct_record(engine: Engine, record: VmRecord) -> VmRecord:
    """Return a record as it would be had everything been saved (`outcome`)."""
    runtime = engine.runtimes.get(record.id)
    if runtime is None or runtime.pending_outcome is None:
        return record
    pending = runtime.pending_outcome
    return msgspec.structs.replace(record, state=pending.state, error=pending.error)


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """Return what the database answers, asked again for a second where it cannot be read.

    For whoever has done something that cannot be undone any more, and has to tell of it.
    """
    for _ in range(TRIES - 1):
        with contextlib.suppress(*store.UNWRITABLE):
            return await ask()
        await asyncio.sleep(PAUSE_S)
    return await ask()


def require_running(record: VmRecord) -> None:
    """Check that a VM runs.

    Raises:
        WrongState: it does not.
    """
    if record.state is not VmState.RUNNING:
        verb = "resume" if record.state is VmState.PAUSED else "start"
        raise WrongState(
            f"The VM {record.spec.name} is not running (state: {record.state}).",
            hint=f"banger vm {verb} {record.spec.name}",
        )


def require_undamaged(record: VmRecord) -> None:
    """Check that a VM's record says what it is made of (B9).

    Raises:
        WrongState: it does not.
    """
    if record.spec.shape.vcpu == 0:
        raise WrongState(
            f"The record of {record.spec.name} is damaged.",
            hint=f"banger vm show {record.spec.name}",
        )


async def get_connection(engine: Engine, record: VmRecord) -> GuestConnection:
    """Return the connection to a running VM's agent; connect again if it was lost.

    Raises:
        WrongState: the VM does not run.
        GuestGone: the agent does not answer.
    """
    require_running(record)
    runtime = engine.runtime(record.id)
    if runtime.connection is not None and not runtime.connection.closed:
        return runtime.connection
    handles = await engine.database.read(store.load_handles, record.id)
    handle = parse_handle(handles.get("vmm"), VmmHandle)
    if handle is not None:
        try:
            return await reach_agent(runtime, handle, deadline_s=RECONNECT_DEADLINE_S)
        except GuestGone:
            if is_alive(handle.process):
                raise
    raise GuestGone(f"The VM {record.spec.name} has ended.", hint="banger vm list")
