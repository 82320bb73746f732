"""Watch the VMMs: when one ends, everyone who waits on its guest is woken at once (H2)."""

from __future__ import annotations

import contextlib
import logging
import signal

from banger import store
from banger.engine.engine import Engine
from banger.engine.lifecycle.restartpolicy import GIVEN_UP, decide_restart, wants_restart
from banger.engine.live import close_connection
from banger.engine.lookup import reload_vm
from banger.engine.operations import Operation
from banger.engine.outcome import save_or_remember
from banger.engine.runner import run_forward
from banger.engine.snapshots.sweeping import sweep_snapshots
from banger.errors import Cancelled
from banger.model.names import VmId
from banger.model.vm import VmState
from banger.plan.lifecycle import plan_kill
from banger.vmm import Driver, VmmHandle

KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""What a VMM ends with, itself or by its sandbox's monitor."""
LAST_WORDS_BYTES = 400

log = logging.getLogger(__name__)


def start_watching(engine: Engine, driver: Driver, handle: VmmHandle) -> None:
    """Watch the VMM of a running VM from now on; the task belongs to the engine.

    While a VM starts this is not needed: its death closes the agent's socket, and
    that ends the start.
    """
    live = engine.live_vm(handle.vm_id)
    live.used_at, live.cpu_seen, live.warned_by, live.answers = None, (0.0, 0.0), None, None
    engine.started.set()
    live.watcher = engine.tasks.start(_watch(engine, driver, handle))


async def _watch(engine: Engine, driver: Driver, handle: VmmHandle) -> None:
    vm_id = handle.vm_id
    live = engine.live_vm(vm_id)
    status = await driver.wait_gone(handle)
    log.info("VMM of %s (pid %d) ended with status %s", vm_id, handle.process.pid, status)
    await close_connection(live)
    # A verb that ends the VMM itself cancels this task and saves the outcome; one that takes the
    # lock away ends what is left.
    with contextlib.suppress(Cancelled), engine.operations.own("vm.ended", vm_id) as op:
        async with live.lifecycle.hold(op, wait=True):
            record = await engine.database.read(store.find_vm, vm_id)
            if record is not None and record.state in (VmState.RUNNING, VmState.PAUSED):
                await _clean_up(engine, op, vm_id, status)


async def _clean_up(engine: Engine, op: Operation, vm_id: VmId, status: int | None) -> None:
    """Save that a guest powered itself off, or that its VMM failed, and remove what is left."""
    record = await reload_vm(engine, vm_id)
    await run_forward(engine, op, plan_kill(vm_id), journalled=False)
    is_clean = status in (0, None)
    state = VmState.STOPPED if is_clean else VmState.ERROR
    why = None if is_clean else f"Its VMM {_say_how(status)}{_last_words(engine, vm_id)}"
    # Of a VMM that an earlier daemon started nobody can tell how it ended.
    failed = status != 0
    again = await decide_restart(engine, record, failed=failed)
    if again is None and wants_restart(record.spec, failed=failed):
        why = f"{why or ''} {GIVEN_UP}".strip()
    await save_or_remember(engine, op.id, vm_id, state, error=why, again=again)
    engine.ended.set()
    await sweep_snapshots(engine)


def _say_how(status: int | None) -> str:
    if status in KILLED:
        return "was killed, by somebody or by the kernel for the memory that it took"
    return f"ended with status {status}"


def _last_words(engine: Engine, vm_id: VmId) -> str:
    """Return the last line of a VMM's log as the end of a sentence."""
    with contextlib.suppress(OSError):
        tail = engine.layout.vm_vmm_log(vm_id).read_bytes()[-LAST_WORDS_BYTES:]
        lines = tail.decode("utf-8", "replace").strip().splitlines()
        return f": {lines[-1]}" if lines else "."
    return "."
