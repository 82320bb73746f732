"""End a guest in good order: flush its data, then have it shut down.

Neither has an undo; if the process dies recovery does both again.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from banger import guest
from banger.engine.state.agent import reach_agent
from banger.engine.state.machine import Machine
from banger.engine.steps.actor import Actor
from banger.errors import BangerError
from banger.plan.steps import FlushGuest, ShutDownGuest

PING_DEADLINE_S = 15.0
"""For an agent to say that it lives, before a flush: generous, since the data is at stake."""
LAST_FLUSH_SHARE = 0.25
"""Of what is left after the first flush: for what a guest wrote while it did not shut down."""
POWEROFF_DEADLINE_S = 10.0
"""For the agent to take the request; the shutting down has the step's own deadline."""


async def _flush_guest(machine: Machine, step: FlushGuest) -> None:
    """Ask the guest to flush; that it confirmed in time, or did not, is part of the result (A1)."""
    deadline_s = step.deadline_s
    machine.runtime.ending_since = asyncio.get_running_loop().time()
    machine.runtime.flush_confirmed = False
    with contextlib.suppress(BangerError, TimeoutError):
        async with asyncio.timeout(deadline_s):
            connection = await reach_agent(
                machine.runtime, machine.require_vmm(), deadline_s=POWEROFF_DEADLINE_S
            )
            # An agent that hangs is told apart from a flush that takes long.
            await guest.ping(connection, deadline_s=min(PING_DEADLINE_S, deadline_s))
            await guest.sync(connection, deadline_s=deadline_s)
            machine.runtime.flush_confirmed = True


async def _shut_down_guest(machine: Machine, step: ShutDownGuest) -> None:
    """Ask the guest to shut down and wait; one that does not is flushed again, then ended (A2)."""
    if machine.vmm is None or not machine.runtime.flush_confirmed:
        return
    used_s = asyncio.get_running_loop().time() - machine.runtime.ending_since
    left_s = step.deadline_s - used_s
    last_flush_s = left_s * LAST_FLUSH_SHARE
    try:
        async with asyncio.timeout(left_s - last_flush_s):
            with contextlib.suppress(BangerError):
                connection = await reach_agent(
                    machine.runtime, machine.require_vmm(), deadline_s=POWEROFF_DEADLINE_S
                )
                await guest.poweroff(connection, deadline_s=POWEROFF_DEADLINE_S)
            await machine.control.wait_gone(machine.vmm)
    except TimeoutError:
        await _flush_guest(machine, FlushGuest(vm_id=machine.id, deadline_s=last_flush_s))


ACTORS: tuple[Actor[Any], ...] = (
    Actor(FlushGuest, _flush_guest, stage="flush"),
    Actor(ShutDownGuest, _shut_down_guest, stage="shut down"),
)
