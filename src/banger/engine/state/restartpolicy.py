"""Whether a VM that ended by itself is started again, and when. The loop that does is in `upkeep`.

The wish is a row among the VM's handles, of kind `restart`, written with the state that the VM
ended in (`outcome`); so it survives the daemon, and a reboot of the host. An end that somebody
asked for removes it. A start that fails counts as another end; each waits twice as long as the
one before, and after `LIMIT` in a row it is given up. A VM that ran steadily begins at the
first wait again.
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
"""So many starts in a row; the waits between them add up to five minutes."""
GIVEN_UP = f"It has been started {LIMIT} times in a row, and is not any more."
STEADY_S = 60.0
"""A VM that ran so long has started well."""


class Restart(Struct, frozen=True):
    """The row: which start in a row the next one is."""

    number: int


@dataclass(frozen=True)
class Wish:
    """Restart rows to save after a start attempt, by outcome; None means do not restart."""

    after_failure: bytes | None = None
    after_cancel: bytes | None = None
    """Saved when the daemon ends meanwhile: the next daemon repeats the start."""


NO_WISH = Wish()


def wants_restart(spec: VmSpec, *, failed: bool) -> bool:
    """Tell whether the policy has a VM that ended by itself started again. Pure."""
    if spec.ending.restart is RestartPolicy.ON_FAILURE:
        return failed
    return spec.ending.restart is RestartPolicy.ALWAYS


def plan_restart(
    spec: VmSpec, *, failed: bool, ran_s: float, last: Restart | None
) -> Restart | None:
    """Return the next start of a VM that ended by itself; None: it stays as it is. Pure."""
    number = 1 if last is None or ran_s >= STEADY_S else last.number + 1
    wanted = wants_restart(spec, failed=failed)
    return Restart(number) if wanted and number <= LIMIT else None


def wait_before(restart: Restart) -> float:
    """Return how long a start is put off, in seconds. Pure."""
    return min(FIRST_WAIT_S * float(2 ** (restart.number - 1)), LAST_WAIT_S)


async def decide_restart(engine: Engine, record: VmRecord, *, failed: bool) -> bytes | None:
    """Return the row for a VM that has just ended by itself; None: it is not started again."""
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


async def drop_wish(engine: Engine, vm_id: VmId) -> None:
    """Have a VM that ended by itself, and whose lifecycle lock is held, not started again."""
    runtime = engine.runtime(vm_id)
    if runtime.restart is not None:
        runtime.restart.task.cancel()
        runtime.restart = None
    if runtime.unsaved is not None:
        runtime.unsaved = replace(runtime.unsaved, again=None)
    # Only then: to stop what has ended must work on a full disk, too (A10).
    if RESTART in await engine.database.read(store.load_handles, vm_id):
        await engine.database.write(store.delete_handle, vm_id, RESTART)


def parse_restart(untrusted_payload: bytes | None) -> Restart | None:
    """Return the next start that a row asks for; None if there is none, or it is damaged."""
    return parse_handle(untrusted_payload, Restart)
