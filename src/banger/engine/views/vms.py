"""Views of VMs, and their events. Changes nothing (B8)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from sqlite3 import Connection
from typing import Literal, NamedTuple

import msgspec

from banger import store
from banger.api.method import serves
from banger.api.requests import VmList, VmWatch
from banger.api.results import VmView, view_record
from banger.engine.state.engine import Engine
from banger.engine.state.events import Listener
from banger.engine.state.handles import parse_handle, parse_network
from banger.engine.state.lifetime import LIFETIME, parse_lifetime, plan_ending, read_clock
from banger.engine.state.lookup import correct_record, get_vm, reload_vm
from banger.engine.state.runtime import VmRuntime
from banger.engine.views.links import find_web_link
from banger.errors import InvalidRequest
from banger.model.vm import LIVE, EventKind, VmEvent, VmRecord, VmState, is_hidden
from banger.network.port import Interface
from banger.vmm.driver import VmmHandle


@serves("vm.list")
async def list_vms(engine: Engine, params: VmList) -> list[VmView]:
    """Return the VMs in any of the states and with all of the labels, oldest first.

    Raises:
        InvalidRequest: there is no such state.
    """
    _require_known("state", params.states, VmState)
    return [
        _view(engine, record, rows)
        for rows in await engine.database.read_kept(_load_all)
        if params.labels.items() <= rows.record.spec.labels.items()
        and (record := correct_record(engine, rows.record))
        and (not params.states or record.state in params.states)
    ]


@serves("vm.show")
async def show_vm(engine: Engine, ref: str) -> VmView:
    """Return one VM."""
    return await view_vm(engine, await get_vm(engine, ref))


@serves("vm.wait")
async def wait_vm(engine: Engine, ref: str) -> VmView:
    """Wait until a VM runs no more, as long as it takes; at once if it does not.

    Raises:
        VmNotFound: there is no such VM, or it was deleted.
    """
    vm_id = (await get_vm(engine, ref)).id
    with engine.events.listening(vm_id) as listener:
        # Looked at after listening has begun, so that no stop comes between.
        while (record := await reload_vm(engine, vm_id)).state in LIVE:
            await listener.next()
        return await view_vm(engine, record)


async def view_vm(engine: Engine, record: VmRecord, *, notice: str | None = None) -> VmView:
    """Return a record with what is only known at the moment.

    What cannot be read is left out, since the verb before it has succeeded.
    """
    rows = _Rows(record, view_record(record))
    with contextlib.suppress(*store.UNWRITABLE):
        rows = await engine.database.read(_load_rows, record)
    view = _view(engine, record, rows)
    return view if notice is None else msgspec.structs.replace(view, notice=notice)


class _Rows(NamedTuple):
    """What the database has of a VM."""

    record: VmRecord
    view: VmView
    """The record as a view, without what is only known at the moment."""
    untrusted_handle: bytes | None = None
    """Of its VMM."""
    untrusted_lifetime: bytes | None = None
    untrusted_network: bytes | None = None
    """The handle of its network."""


def _load_rows(connection: Connection, record: VmRecord) -> _Rows:
    handles = store.load_handles(connection, record.id)
    view = view_record(record, address=store.find_address(connection, record.id))
    return _Rows(record, view, handles.get("vmm"), handles.get(LIFETIME), handles.get("network"))


def _load_all(connection: Connection) -> list[_Rows]:
    """Return every VM that users see: one turn of the database for any number."""
    handles = store.load_handles_of_kind(connection, "vmm")
    lifetimes = store.load_handles_of_kind(connection, LIFETIME)
    addresses = store.load_addresses(connection)
    networks = store.load_handles_of_kind(connection, "network")
    return [
        _Rows(
            record,
            view_record(record, address=addresses.get(record.id)),
            handles.get(record.id),
            lifetimes.get(record.id),
            networks.get(record.id),
        )
        for record in store.load_vms(connection)
        if not is_hidden(record)
    ]


def _view(engine: Engine, record: VmRecord, rows: _Rows) -> VmView:
    is_mortal = record.spec.ending.ttl_s or record.spec.ending.auto_stop_s
    if record.id not in engine.runtimes and record.state not in LIVE and not is_mortal:
        return rows.view
    runtime = engine.runtime(record.id)
    ending = None
    if is_mortal:
        lifetime = parse_lifetime(rows.untrusted_lifetime)
        ending = plan_ending(record.spec, record.state, lifetime, runtime, read_clock())
    handle = parse_handle(rows.untrusted_handle, VmmHandle) if record.state in LIVE else None
    holder = runtime.lifecycle.holder
    interface = _find_interface(record, rows.untrusted_network)
    view = rows.view if record is rows.record else view_record(record, address=rows.view.address)
    return msgspec.structs.replace(
        view,
        link=find_web_link(engine, record),
        guest_address=interface and interface.address,
        guest_address6=interface.address6 if interface and runtime.has_ipv6 else None,
        pid=handle.process.pid if handle else None,
        busy=holder.method if holder else None,
        operation=holder.id if holder else None,
        health=_health(record, runtime),
        ends_at=engine.now() + max(ending.left_s, 0) if ending else None,
        ends_by=ending.by if ending else None,
        notice=_say_restart(runtime) or view.notice,
    )


def _find_interface(record: VmRecord, untrusted_network: bytes | None) -> Interface | None:
    """Return the interface that a guest has, while it runs."""
    network = parse_network(untrusted_network) if record.state is VmState.RUNNING else None
    return None if network is None else network.plan_interface(record.id)


def _health(record: VmRecord, runtime: VmRuntime) -> Literal["ok", "no-answer"] | None:
    if record.state is not VmState.RUNNING or runtime.answers is None:
        return None
    return "ok" if runtime.answers else "no-answer"


def _say_restart(runtime: VmRuntime) -> str | None:
    if runtime.restart is None:
        return None
    left_s = max(runtime.restart.due_at - asyncio.get_running_loop().time(), 0)
    return f"Restarts in {left_s:.0f} s."


@contextlib.asynccontextmanager
async def watch_vms(engine: Engine, params: VmWatch) -> AsyncIterator[Listener]:
    """Listen for a block to what happens to all VMs, or to one until it is deleted.

    Raises:
        InvalidRequest: there is no such kind or state.
        VmNotFound, VmAmbiguous: the reference is not one VM's.
    """
    _require_known("state", params.states, VmState)
    _require_known("kind of event", params.kinds, EventKind)
    vm_id = (await get_vm(engine, params.ref)).id if params.ref is not None else None

    def is_wanted(event: VmEvent) -> bool:
        if vm_id is not None and (event.vm_id != vm_id or event.kind is EventKind.DELETED):
            return event.vm_id == vm_id
        return (not params.kinds or event.kind in params.kinds) and (
            not params.states or event.state in params.states
        )

    since = params.since
    if since is None and not params.follow:
        since = engine.events.complete_since
    with engine.events.listening(wanted=is_wanted, since=since) as listener:
        yield listener


def _require_known(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    if unknown := set(given) - set(known):
        raise InvalidRequest(
            f"There is no {what} {', '.join(sorted(unknown))}; there are {', '.join(known)}."
        )
