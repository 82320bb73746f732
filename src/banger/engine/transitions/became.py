"""What follows when it has been saved that a VM runs or stands still."""

from __future__ import annotations

import msgspec

from banger.engine.state.machine import Machine
from banger.engine.transitions.watch import start_watching
from banger.model.vm import EventKind, VmState


def became(machine: Machine, state: VmState) -> None:
    """Tell who listens of a VM's new state, and watch its VMM from the first on.

    Waits for nothing, so that no cancellation comes between the saved state and this.
    """
    machine.record = msgspec.structs.replace(machine.record, state=state, error=None)
    name = machine.record.spec.name
    machine.engine.events.publish(EventKind.STATE, machine.id, name, state=state)
    watcher = machine.runtime.watcher
    if watcher is None or watcher.done():
        start_watching(machine)
