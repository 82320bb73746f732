"""Ping every running guest's agent, and keep the guest's clock right.

An agent that does not answer is shown (`health` of `vm.show`), logged once when it falls silent
and once when it speaks again; nothing else is done about it, since its guest may be busy. It
is not asked a second time before it has answered. The answer tells the guest's clock, and
one that is off by more than `DRIFT_S` is set (hazard D1): after the host was suspended, after a
pause, or because emulation is slow. A suspension is noticed by the clocks, and all are asked then.

Takes no locks: a guest that is being started, paused or stopped is left to that operation.
"""

from __future__ import annotations

import asyncio
import logging
import time

from banger import guest, store
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection
from banger.engine.state.notices import notify
from banger.engine.state.runtime import VmRuntime
from banger.engine.steps.saving import set_clock
from banger.errors import BangerError
from banger.model.vm import VmRecord, VmState, is_hidden

log = logging.getLogger(__name__)

TICK_S = 5.0
"""How often the clocks are looked at, for a suspension of the host."""
ASK_EVERY_S = 30.0
ANSWER_S = 15.0
"""An emulated guest under load may take seconds; after this it counts as silent."""
GIVE_UP_S = 86400.0
DRIFT_S = 0.5


async def look_after_guests(engine: Engine) -> None:
    """Ask all guests, again and again, for ever."""
    asked_at, suspended_s = 0.0, _suspended_s()
    while True:
        await asyncio.sleep(min(TICK_S, ASK_EVERY_S))
        now, suspended = time.monotonic(), _suspended_s()
        if now - asked_at >= ASK_EVERY_S or suspended - suspended_s > DRIFT_S:
            asked_at, suspended_s = now, suspended
            for record in await engine.database.read(store.load_vms):
                _ask(engine, record)


def _suspended_s() -> float:
    """Return how long the host has been suspended since it booted."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def _ask(engine: Engine, record: VmRecord) -> None:
    runtime = engine.runtime(record.id)
    is_ours = not is_hidden(record) and runtime.lifecycle.holder is None
    if record.state is VmState.RUNNING and is_ours and runtime.question is None:
        runtime.question = engine.tasks.start(_look(engine, record))


async def _look(engine: Engine, record: VmRecord) -> None:
    """Ask one guest; returns when it has answered, or its VM has ended."""
    runtime = engine.runtime(record.id)
    answer = asyncio.ensure_future(_ping(engine, record))
    try:
        await asyncio.wait({answer}, timeout=ANSWER_S)
        if not answer.done():
            await _note_silence(engine, record, runtime)
        drift_s = await answer
        _note_answer(engine, record, runtime)
        if drift_s is not None and abs(drift_s) > DRIFT_S:
            log.info("the clock of %s is off by %.3g s: set", record.spec.name, drift_s)
            await set_clock(engine, record.id)
    except BangerError:
        await _note_silence(engine, record, runtime)
    finally:
        answer.cancel()
        runtime.question = None


async def _ping(engine: Engine, record: VmRecord) -> float | None:
    """Return by how much the guest's clock is off for certain; None: its agent does not tell."""
    connection = await get_connection(engine, record)
    sent = time.time()
    untrusted_clock_ns = await guest.ping(connection, deadline_s=GIVE_UP_S)
    if untrusted_clock_ns is None:
        return None
    return find_drift(sent=sent, received=time.time(), guest=untrusted_clock_ns / 1e9)


def find_drift(*, sent: float, received: float, guest: float) -> float:
    """Return how far a clock that was read between two moments is outside of them. Pure."""
    if guest < sent:
        return guest - sent
    return max(guest - received, 0.0)


async def _note_silence(engine: Engine, record: VmRecord, runtime: VmRuntime) -> None:
    """Note that an agent is silent, unless its VM has ended or is paused."""
    now = await engine.database.read(store.find_vm, record.id)
    runs = now is not None and now.state is VmState.RUNNING and runtime.lifecycle.holder is None
    if runs and runtime.answers is not False and runtime.attendants:
        runtime.answers = False
        notify(engine, record, "The guest's agent does not answer.")


def _note_answer(engine: Engine, record: VmRecord, runtime: VmRuntime) -> None:
    if runtime.answers is False:
        notify(engine, record, "The guest's agent answers again.")
    runtime.answers = True
