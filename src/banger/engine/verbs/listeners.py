"""The listening sockets of a guest, where they appear on the host, and the published ports.

Takes no lock and changes nothing (B8).
"""

from __future__ import annotations

import contextlib

from msgspec.structs import replace

from banger import guest
from banger.api.method import serves
from banger.api.results import Listener
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm
from banger.engine.transitions.publishing import load_forwards
from banger.engine.verbs.ports import find_problem
from banger.engine.views.links import explain_missing_links, find_link
from banger.errors import BangerError
from banger.forwards import Forward, GuestSocket, HostEnd, PortForwards, SocketPath
from banger.model.vm import VmRecord

DEADLINE_S = 30.0
"""For the agent's answer; a busy emulated guest takes a second."""


@serves("vm.ports")
async def list_listeners(engine: Engine, ref: str) -> list[Listener]:
    """Return what waits for connections in a running VM, by port; then what is published.

    Raises:
        WrongState: the VM does not run.
        GuestGone, DeadlineExceeded: its agent does not answer.
    """
    record = await get_vm(engine, ref)
    connection = await get_connection(engine, record)
    async with (
        guest.deadline("listing what listens in the guest", DEADLINE_S),
        contextlib.aclosing(guest.watch_listeners(connection)) as changes,
    ):
        found = await anext(changes)
    ports = engine.runtime(record.id).ports
    mirrored = [
        _linked(engine, record, await _view_mirror(record.spec.name, address, port, ports))
        for address, port in sorted(found, key=lambda pair: (pair[1], pair[0]))
    ]
    published = await load_forwards(engine, record.id)
    return mirrored + [await _view_published(record.spec.name, each, ports) for each in published]


async def _view_mirror(vm: str, address: str, port: int, ports: PortForwards | None) -> Listener:
    listener = Listener(vm=vm, protocol="tcp", address=address, port=port)
    place = None if ports is None else ports.find_mirror(port)
    if place is None:
        return listener
    return _placed(listener, place.host, await find_problem(ports, place.host))


def _linked(engine: Engine, record: VmRecord, listener: Listener) -> Listener:
    """Return a listener with the link to it, or why there is none."""
    link = find_link(engine, record, listener.port or 0)
    return replace(listener, link=link, notice=listener.notice or explain_missing_links(engine))


async def _view_published(vm: str, forward: Forward, ports: PortForwards | None) -> Listener:
    end = forward.guest
    if isinstance(end, GuestSocket):
        listener = Listener(vm=vm, protocol="unix", path=end.path, is_published=True)
    else:
        listener = Listener(vm=vm, protocol=end.protocol, port=end.port, is_published=True)
    return _placed(listener, forward.host, await find_problem(ports, forward.host))


def _placed(listener: Listener, host: HostEnd, problem: BangerError | None) -> Listener:
    """Return a listener with where it appears on the host."""
    if isinstance(host, SocketPath):
        listener = replace(listener, host_path=host.path)
    else:
        listener = replace(listener, host_address=host.address, host_port=host.port)
    notice = problem.message if problem else None
    return replace(listener, state="blocked" if problem else "open", notice=notice)
