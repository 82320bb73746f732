"""What is there: VMs as their users see them, and their logs. Changes nothing (B8)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from sqlite3 import Connection
from typing import Literal, TypeVar

import msgspec

from banger import network, store, vmm
from banger.api.requests import VmList, VmLogs, VmWatch
from banger.api.results import OperationView, VmView, view_record
from banger.engine.engine import Engine
from banger.engine.events import Listener
from banger.engine.inprogress import Running, cancel_running
from banger.engine.lifecycle.lifetime import LIFETIME, Lifetime, plan_ending, read_clock
from banger.engine.live import LiveVm
from banger.engine.lookup import get_vm
from banger.engine.outcome import correct_record
from banger.errors import InvalidRequest
from banger.host.tails import find_tail
from banger.model.names import VmId
from banger.model.vm import LIVE, NetworkKind, VmRecord, VmState, is_hidden

log = logging.getLogger(__name__)

H = TypeVar("H")

LOG_CHUNK = 65536
FOLLOW_INTERVAL_S = 0.2


async def list_vms(engine: Engine, params: VmList) -> list[VmView]:
    """Return the VMs in any of the states and with all of the labels, oldest first.

    Raises:
        InvalidRequest: there is no such state.
    """
    unknown = set(params.states) - set(VmState)
    if unknown:
        raise InvalidRequest(
            f"There is no state {', '.join(sorted(unknown))}; states are {', '.join(VmState)}."
        )
    records, handles, lifetimes = await engine.database.read_kept(_load_vms_and_handles)
    return [
        _view(engine, record, handles.get(record.id), lifetimes.get(record.id))
        for record in (correct_record(engine, saved) for saved in records)
        if not is_hidden(record.spec)
        and (not params.states or record.state in params.states)
        and params.labels.items() <= record.spec.labels.items()
    ]


async def show_vm(engine: Engine, ref: str) -> VmView:
    """Return one VM."""
    return await view_vm(engine, await get_vm(engine, ref))


async def view_vm(engine: Engine, record: VmRecord, *, notice: str | None = None) -> VmView:
    """Return a record with what is only known at the moment.

    Also where that cannot be read: a verb is told of what it has done.
    """
    handles: dict[str, bytes] = {}
    with contextlib.suppress(*store.UNWRITABLE):
        handles = await engine.database.read(store.load_handles, record.id)
    return _view(engine, record, handles.get("vmm"), handles.get(LIFETIME), notice=notice)


def _load_vms_and_handles(
    connection: Connection,
) -> tuple[list[VmRecord], dict[VmId, bytes], dict[VmId, bytes]]:
    """Return every VM, their VMMs and lifetimes: one turn of the database for any number."""
    return (
        store.load_vms(connection),
        store.load_handles_of_kind(connection, "vmm"),
        store.load_handles_of_kind(connection, LIFETIME),
    )


def _view(
    engine: Engine,
    record: VmRecord,
    untrusted_handle: bytes | None,
    untrusted_lifetime: bytes | None,
    *,
    notice: str | None = None,
) -> VmView:
    live = engine.live_vm(record.id)
    ending = None
    if record.spec.ttl_s or record.spec.auto_stop_s:
        lifetime = parse_lifetime(untrusted_lifetime)
        ending = plan_ending(record.spec, record.state, lifetime, live, read_clock())
    reachable = record.state is VmState.RUNNING and record.spec.network is NetworkKind.USER
    handle = None
    if untrusted_handle is not None and record.state in LIVE:
        handle = parse_handle(untrusted_handle, vmm.VmmHandle)
    holder = live.lifecycle.holder
    return view_record(
        record,
        address=network.user_interface(record.id).address if reachable else None,
        pid=handle.process.pid if handle else None,
        busy=holder.method if holder else None,
        operation=holder.id if holder else None,
        health=_health(record, live),
        ends_at=engine.now() + max(ending.left_s, 0) if ending else None,
        ends_by=ending.by if ending else None,
        notice=notice or _say_restart(live),
    )


def _health(record: VmRecord, live: LiveVm) -> Literal["ok", "no-answer"] | None:
    if record.state is not VmState.RUNNING or live.answers is None:
        return None
    return "ok" if live.answers else "no-answer"


def _say_restart(live: LiveVm) -> str | None:
    if live.restart is None:
        return None
    left_s = max(live.restart.due_at - asyncio.get_running_loop().time(), 0)
    return f"It is started again in {left_s:.0f} s."


async def list_operations(engine: Engine) -> list[OperationView]:
    """Return what is in progress, oldest first."""
    running = engine.operations.list()
    names = await _load_names(engine)
    return [_view_operation(one, names) for one in running]


async def cancel_operation(engine: Engine, ref: str) -> OperationView:
    """End an operation and wait for its undoing; return what it was.

    Raises:
        OperationNotFound: it is not in progress.
        NotCancellable: it is, and is completed.
    """
    running = engine.operations.get(ref)
    names = await _load_names(engine)
    await cancel_running(running)
    return _view_operation(running, names)


async def _load_names(engine: Engine) -> dict[VmId, str]:
    records = await engine.database.read(store.load_vms)
    return {record.id: record.spec.name for record in records}


def _view_operation(running: Running, names: Mapping[VmId, str]) -> OperationView:
    operation = running.operation
    return OperationView(
        id=operation.id,
        method=operation.method,
        vm=running.vm_id and names.get(running.vm_id),
        vm_id=running.vm_id,
        stage=running.stage,
        started_at=operation.started_at,
        cancellable=running.is_cancellable,
    )


async def load_vmm_handle(engine: Engine, vm_id: VmId) -> vmm.VmmHandle | None:
    """Return the saved handle of a VM's VMM; a damaged one counts as none (B9)."""
    handles = await engine.database.read(store.load_handles, vm_id)
    payload = handles.get("vmm")
    return None if payload is None else parse_handle(payload, vmm.VmmHandle)


def parse_lifetime(untrusted_payload: bytes | None) -> Lifetime | None:
    """Return a VM's lifetime; None if there is none, or its row is damaged."""
    return None if untrusted_payload is None else parse_handle(untrusted_payload, Lifetime)


def parse_handle(untrusted_payload: bytes, kind: type[H]) -> H | None:
    """Return a saved handle, or None if its row is damaged: it then counts as lost (B9)."""
    try:
        return msgspec.json.decode(untrusted_payload, type=kind)
    except msgspec.DecodeError:
        log.error("a damaged handle is ignored: %r", untrusted_payload[:200])
        return None


async def open_log(engine: Engine, params: VmLogs) -> AsyncGenerator[bytes, None]:
    """Return the content of a log as it stands, and with `follow` what is added to it.

    What a guest wrote to its console is passed on as it is: the client decides what
    a terminal may see.
    """
    record = await get_vm(engine, params.ref)
    layout = engine.layout
    console = params.log == "console"
    path = layout.vm_console_log(record.id) if console else layout.vm_vmm_log(record.id)
    offset = 0
    if params.tail is not None:
        offset = await asyncio.to_thread(find_tail, path, max(params.tail, 0))
    return _read_log(engine, path, record.id if params.follow else None, offset=offset)


async def _read_log(
    engine: Engine, path: Path, follow: VmId | None, *, offset: int
) -> AsyncGenerator[bytes, None]:
    """Yield a file's bytes; then, while the VM to follow lives, what is added to it."""
    with engine.events.listening(follow) as listener:
        # Asked before reading, so that the last bytes of a VM that ends are not missed.
        live = follow is not None and await _is_live(engine, follow)
        while True:
            while chunk := await asyncio.to_thread(_read_at, path, offset):
                offset += len(chunk)
                yield chunk
            if not live:
                return
            if await listener.wait(FOLLOW_INTERVAL_S):
                live = follow is not None and await _is_live(engine, follow)


@contextlib.asynccontextmanager
async def watch_vms(engine: Engine, params: VmWatch) -> AsyncIterator[Listener]:
    """Listen for a block to what happens to all VMs, or to one."""
    vm_id = (await get_vm(engine, params.ref)).id if params.ref is not None else None
    with engine.events.listening(vm_id) as listener:
        yield listener


def _read_at(path: Path, offset: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(fd, LOG_CHUNK, offset)
    finally:
        os.close(fd)


async def _is_live(engine: Engine, vm_id: VmId) -> bool:
    record = await engine.database.read(store.find_vm, vm_id)
    return record is not None and correct_record(engine, record).state in LIVE
