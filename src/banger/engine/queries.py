"""What is there: VMs as their users see them, and their logs. Changes nothing (B8)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

import msgspec

from banger import network, store, vmm
from banger.api.methods import VmList, VmLogs, VmView, view_record
from banger.engine.engine import Engine
from banger.engine.lookup import get_vm
from banger.engine.outcome import correct_record
from banger.errors import DatabaseFailed, InvalidRequest
from banger.model.names import VmId
from banger.model.vm import LIVE, NetworkKind, VmRecord, VmState

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
    records, handles = await engine.database.read(_load_vms_and_handles)
    return [
        _view(engine, record, handles.get(record.id))
        for record in (correct_record(engine, saved) for saved in records)
        if record.spec.builds is None
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
    with contextlib.suppress(DatabaseFailed):
        handles = await engine.database.read(store.load_handles, record.id)
    return _view(engine, record, handles.get("vmm"), notice=notice)


def _load_vms_and_handles(connection: Connection) -> tuple[list[VmRecord], dict[VmId, bytes]]:
    """Return every VM, and the saved VMM handles: one turn of the database for any number."""
    return store.load_vms(connection), store.load_handles_of_kind(connection, "vmm")


def _view(
    engine: Engine, record: VmRecord, untrusted_handle: bytes | None, *, notice: str | None = None
) -> VmView:
    live = engine.live_vm(record.id)
    reachable = record.state is VmState.RUNNING and record.spec.network is NetworkKind.USER
    handle = None
    if untrusted_handle is not None and record.state in LIVE:
        handle = parse_handle(untrusted_handle, vmm.VmmHandle)
    return view_record(
        record,
        address=network.user_interface(record.id).address if reachable else None,
        pid=handle.process.pid if handle else None,
        busy=live.lifecycle.holder.method if live.lifecycle.holder else None,
        notice=notice,
    )


async def load_vmm_handle(engine: Engine, vm_id: VmId) -> vmm.VmmHandle | None:
    """Return the saved handle of a VM's VMM; a damaged one counts as none (B9)."""
    handles = await engine.database.read(store.load_handles, vm_id)
    payload = handles.get("vmm")
    return None if payload is None else parse_handle(payload, vmm.VmmHandle)


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
    return _read_log(engine, path, record.id if params.follow else None)


async def _read_log(engine: Engine, path: Path, follow: VmId | None) -> AsyncGenerator[bytes, None]:
    """Yield a file's bytes; then, while the VM to follow lives, what is added to it."""
    offset = 0
    while True:
        # Asked before reading, so that the last bytes of a VM that ends are not missed.
        live = follow is not None and await _is_live(engine, follow)
        while chunk := await asyncio.to_thread(_read_at, path, offset):
            offset += len(chunk)
            yield chunk
        if not live:
            return
        await asyncio.sleep(FOLLOW_INTERVAL_S)


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
