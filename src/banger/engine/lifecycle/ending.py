"""End what a VM has: its guest in good order, its VMM, its network, its directories.

What the steps of `plan_stop`, `plan_kill` and `plan_delete` do, and what undoing a start does. Each
is idempotent. If the process dies recovery does them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path

from banger import guest, network, store
from banger.engine.engine import Engine
from banger.engine.live import stop_watching
from banger.engine.lookup import reach_agent
from banger.engine.operations import Operation
from banger.engine.views.queries import load_vmm_handle, parse_handle
from banger.errors import BangerError
from banger.model.names import VmId
from banger.plan.steps import (
    EndNetwork,
    EndVmm,
    FlushGuest,
    RemoveRuntimeDir,
    RemoveVmDir,
    ShutDownGuest,
)

PING_DEADLINE_S = 15.0
"""For an agent to say that it lives, before a flush: generous, since the data is at stake."""
LAST_FLUSH_SHARE = 0.25
"""Of what is left after the first flush: for what a guest wrote while it did not shut down."""
QUIT_DEADLINE_S = 5.0
POWEROFF_DEADLINE_S = 10.0
"""For the agent to take the request; the shutting down has the step's own deadline."""

EndingStep = FlushGuest | ShutDownGuest | EndVmm | EndNetwork | RemoveRuntimeDir | RemoveVmDir


async def apply_ending(engine: Engine, op: Operation, step: EndingStep) -> None:
    """Make what the step says true."""
    match step:
        case FlushGuest():
            op.progress("flush")
            engine.live_vm(step.vm_id).ending_since = asyncio.get_running_loop().time()
            await _flush_guest(engine, step.vm_id, step.deadline_s)
        case ShutDownGuest():
            op.progress("shut down")
            await _shut_down_guest(engine, step.vm_id, step.deadline_s)
        case EndVmm():
            await end_vmm(engine, step.vm_id)
        case EndNetwork():
            await end_network(engine, step.vm_id)
        case RemoveRuntimeDir():
            await remove_tree(engine.layout.vm_runtime(step.vm_id))
        case RemoveVmDir():
            await remove_tree(engine.layout.vm_dir(step.vm_id))


async def _flush_guest(engine: Engine, vm_id: VmId, deadline_s: float) -> None:
    """Ask the guest to flush; that it confirmed in time, or did not, is part of the result (A1)."""
    live = engine.live_vm(vm_id)
    live.flush_confirmed = False
    with contextlib.suppress(BangerError, TimeoutError):
        async with asyncio.timeout(deadline_s):
            connection = await reach_agent(engine, vm_id, deadline_s=POWEROFF_DEADLINE_S)
            # An agent that hangs is told apart from a flush that takes long.
            await guest.ping(connection, deadline_s=min(PING_DEADLINE_S, deadline_s))
            await guest.sync(connection, deadline_s=deadline_s)
            live.flush_confirmed = True


async def _shut_down_guest(engine: Engine, vm_id: VmId, deadline_s: float) -> None:
    """Ask the guest to shut down and wait; one that does not is flushed again, then ended (A2)."""
    live = engine.live_vm(vm_id)
    handle = await load_vmm_handle(engine, vm_id)
    if handle is None or not live.flush_confirmed:
        return
    driver = await engine.host.driver()
    left_s = deadline_s - (asyncio.get_running_loop().time() - live.ending_since)
    last_flush_s = left_s * LAST_FLUSH_SHARE
    try:
        async with asyncio.timeout(left_s - last_flush_s):
            with contextlib.suppress(BangerError):
                connection = await reach_agent(engine, vm_id, deadline_s=POWEROFF_DEADLINE_S)
                await guest.poweroff(connection, deadline_s=POWEROFF_DEADLINE_S)
            await driver.wait_gone(handle)
    except TimeoutError:
        await _flush_guest(engine, vm_id, last_flush_s)


async def end_vmm(engine: Engine, vm_id: VmId) -> None:
    """End a VM's VMM and forget its handle; fine if there is none."""
    handle = await load_vmm_handle(engine, vm_id)
    if handle is not None:
        driver = await engine.host.driver()
        if not await driver.quit(handle, deadline_s=QUIT_DEADLINE_S):
            await driver.kill(handle)
    await stop_watching(engine.live_vm(vm_id))
    await engine.database.write(store.delete_handle, vm_id, "vmm")


async def end_network(engine: Engine, vm_id: VmId) -> None:
    """End a VM's network back end and forget its handle; fine if there is none."""
    close_network_socket(engine, vm_id)
    handles = await engine.database.read(store.load_handles, vm_id)
    if payload := handles.get("network"):
        handle = parse_handle(payload, network.NetworkHandle)
        if handle is not None:
            await network.end_network(handle)
        await engine.database.write(store.delete_handle, vm_id, "network")


def close_network_socket(engine: Engine, vm_id: VmId) -> None:
    """Close the network's end for a VMM that was not spawned with it."""
    live = engine.live_vm(vm_id)
    if live.network_socket is not None:
        live.network_socket.close()
        live.network_socket = None


async def remove_tree(path: Path) -> None:
    """Remove a directory of ours with all in it; fine if it is gone."""

    def remove() -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)

    await asyncio.to_thread(remove)
