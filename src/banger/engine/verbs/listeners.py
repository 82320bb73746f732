"""What listens in a guest, and where it appears on the host.

Takes no lock and changes nothing (B8).
"""

from __future__ import annotations

import asyncio
import contextlib

from banger import guest
from banger.api.results import Listener
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm
from banger.engine.transitions.publishing import name_user
from banger.forwards import PortForwards

DEADLINE_S = 30.0
"""For the agent's answer; a busy emulated guest takes a second."""


async def list_listeners(engine: Engine, ref: str) -> list[Listener]:
    """Return the sockets that wait for connections in a running VM, by port.

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
    return [
        await _view(record.spec.name, address, port, ports)
        for address, port in sorted(found, key=lambda pair: (pair[1], pair[0]))
    ]


async def _view(vm: str, address: str, port: int, ports: PortForwards | None) -> Listener:
    place = None if ports is None else ports.find_mirror(port)
    problem = None if place is None else place.problem
    if place is not None and problem is not None:
        problem = await asyncio.to_thread(name_user, place.host, problem)
    if place is None:
        return Listener(vm=vm, protocol="tcp", address=address, port=port)
    return Listener(
        vm=vm,
        protocol="tcp",
        address=address,
        port=port,
        host_address=place.host.address,
        host_port=place.host.port,
        state="open" if problem is None else "blocked",
        notice=problem.message if problem else None,
    )
