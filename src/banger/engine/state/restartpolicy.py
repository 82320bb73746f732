"""Whether a VM that ended by itself is restarted, and when. `upkeep.restarts` has the loop.

A pending restart is a row among the VM's handles, of kind `restart`, written in one transaction
with the state that the VM ended in (`outcome`), so it survives the daemon and a reboot of the host.
An end that a user asked for removes the row. A failed start counts as another end. Each wait is
twice as long as the last; after `LIMIT` starts in a row the VM is not restarted any more. A VM that
ran steadily begins at the first wait.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import msgspec
from msgspec import Struct

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.handles import parse_handle
from banger.engine.state.lifetime import LIFETIME, parse_lifetime
from banger.engine.state.runtime import RESTART
from banger.model.names import VmId
from banger.model.vm import RestartPolicy, VmRecord, VmSpec

FIRST_WAIT_S = 1.0
LAST_WAIT_S = 60.0
LIMIT = 10
"""Restarts in a row before giving up; the waits between them add up to five minutes."""
GIVEN_UP = f"The VM was restarted {LIMIT} times in a row; it will not be restarted again."
STEADY_S = 60.0
"""A VM that ran this long counts as started well."""


class Restart(Struct, frozen=True):
    """The row: the number of the next restart, counted from the last steady run."""

    number: int


@dataclass(frozen=True)
class RestartOutcome:
    """Restart rows to save after a start attempt, by outcome; None means do not restart."""

    after_failure: bytes | None = None
    after_cancel: bytes | None = None
    """Saved when the daemon ends meanwhile: the next daemon repeats the start."""


NO_RESTART = RestartOutcome()


def wants_restart(spec: VmSpec, *, failed: bool) -> bool:
    """Tell whether the policy restarts a VM that ended by itself. Pure."""
    if spec.ending.restart is RestartPolicy.ON_FAILURE:
        return failed
    return spec.ending.restart is RestartPolicy.ALWAYS


def plan_restart(
    spec: VmSpec, *, failed: bool, ran_s: float, last: Restart | None
) -> Restart | None:
    """Return the next restart of a VM that ended by itself, or None for no restart. Pure."""
    number = 1 if last is None or ran_s >= STEADY_S else last.number + 1
    wanted = wants_restart(spec, failed=failed)
    return Restart(number) if wanted and number <= LIMIT else None


def wait_before(restart: Restart) -> float:
    """Return the wait before a restart, in seconds. Pure."""
    return min(FIRST_WAIT_S * float(2 ** (restart.number - 1)), LAST_WAIT_S)


async def decide_restart(engine: Engine, record: VmRecord, *, failed: bool) -> bytes | None:
    """Return the restart row for a VM that has just ended by itself, or None for no restart."""
    handles = await engine.database.read(store.load_handles, record.id)
    lifetime = parse_lifetime(handles.get(LIFETIME))
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    restart = plan_restart(
        record.spec,
        failed=failed,
        ran_s=0.0 if lifetime is None else now - lifetime.started_s,
        last=parse_restart(handles.get(RESTART)),
    )
    return None if restart is None else msgspec.json.encode(restart)


async def cancel_restart(engine: Engine, vm_id: VmId) -> None:
    """Cancel the pending restart of a VM, if there is one; the caller holds its lifecycle lock."""
    runtime = engine.runtime(vm_id)
    if runtime.restart is not None:
        runtime.restart.task.cancel()
        runtime.restart = None
    if runtime.pending_outcome is not None:
        runtime.pending_outcome = replace(runtime.pending_outcome, restart_row=None)
    # Only then: stopping a VM that has ended must also work on a full disk (A10).
    if RESTART in await engine.database.read(store.load_handles, vm_id):
        await engine.database.write(store.delete_handle, vm_id, RESTART)


def parse_restart(untrusted_payload: bytes | None) -> Restart | None:
    """Return the restart that a row schedules; None if the row is absent or damaged."""
    return parse_handle(untrusted_payload, Restart)
