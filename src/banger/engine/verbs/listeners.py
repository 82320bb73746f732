"""What listens in a guest. Takes no lock and changes nothing (B8)."""

from __future__ import annotations

import contextlib

from banger import guest
from banger.api.results import Listener
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm

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
    return [
        Listener(vm=record.spec.name, protocol="tcp", address=address, port=port)
        for address, port in sorted(found, key=lambda pair: (pair[1], pair[0]))
    ]
