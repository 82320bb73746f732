"""Publish a VM's new state after it has been saved, and start and end what depends on it.

The only place that tells those who listen, wakes the loops, and starts and ends attendants. Its
functions wait for nothing, so that no cancellation comes between the saved state and what follows.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from banger.engine.state.attendants import end_attendants, start_attendants
from banger.engine.state.engine import Engine
from banger.engine.state.history import History
from banger.engine.state.machine import Machine
from banger.model.names import VmId
from banger.model.vm import EventKind, VmRecord, VmState

ATTENDED = (VmState.RUNNING, VmState.PAUSED, VmState.STOPPING)
"""The states in which a VM has attendants."""
ENDED = (VmState.STOPPED, VmState.ERROR)
"""The states from which a VM may be started again."""


def appeared(engine: Engine, record: VmRecord) -> None:
    """Tell that a VM has a row, with the name that its user gave or got."""
    engine.runtime(record.id).history = History()  # a pooled clone's is not its user's
    engine.events.publish(EventKind.CREATED, record.id, record.spec.name, state=record.state)


def became(machine: Machine, state: VmState, *, error: str | None = None) -> None:
    """Tell of a VM's new state; start its attendants, or end them. `error`: why it ended."""
    engine = machine.engine
    machine.record = msgspec.structs.replace(machine.record, state=state, error=error)
    name = machine.record.spec.name
    engine.events.publish(EventKind.STATE, machine.id, name, state=state, text=error)
    if state in ATTENDED:
        if not machine.runtime.attendants:
            _forget_last_run(machine)
        start_attendants(machine)
    else:
        end_attendants(machine.runtime)
    if state is VmState.RUNNING:
        engine.started.set()
    elif state in ENDED:
        engine.ended.set()


def changed(engine: Engine, record: VmRecord, what: Sequence[str]) -> None:
    """Tell that a VM's user has changed it: its name, for one."""
    engine.events.publish(EventKind.CHANGED, record.id, record.spec.name, text=", ".join(what))


def vanished(engine: Engine, vm_id: VmId, name: str) -> None:
    """Publish that a VM has no row any more; end its attendants."""
    engine.events.publish(EventKind.DELETED, vm_id, name)
    runtime = engine.runtimes.pop(vm_id, None)
    if runtime is not None:
        end_attendants(runtime)
        if runtime.restart is not None:
            runtime.restart.task.cancel()


def _forget_last_run(machine: Machine) -> None:
    runtime = machine.runtime
    runtime.used_at = runtime.warned_by = runtime.answers = None
    runtime.cpu_seen = (0.0, 0.0)
