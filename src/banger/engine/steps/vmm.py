"""The VMM of a VM: spawned, or restored from a saved machine, and ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from banger import images, kernels, store, templates
from banger.engine.state.machine import Machine
from banger.engine.state.runtime import close_connection
from banger.engine.steps.actor import Actor
from banger.engine.steps.handles import ended_unless_saved
from banger.engine.steps.network import close_attachment
from banger.errors import KernelUnfit
from banger.layout import Layout
from banger.model.artifacts import Kernel
from banger.plan.steps import EndVmm, RestoreVmm, SpawnVmm, Step
from banger.vmm.driver import MachineConfig, SharedFiles, plan_machine

READY_DEADLINE_S = 30.0
QUIT_DEADLINE_S = 5.0


async def _start_vmm(machine: Machine, step: SpawnVmm | RestoreVmm) -> None:
    """Start a VMM, and its guest: from the beginning, or from a saved machine."""
    saved = None
    if isinstance(step, RestoreVmm):
        saved = machine.engine.layout.origin_dir(step.origin)
    driver = await machine.driver()
    memory = None if saved is None else saved / templates.MEMORY
    config = await asyncio.to_thread(_plan_machine, machine, memory)
    try:
        handle = await driver.spawn(config, network=machine.runtime.attachment)
    finally:
        close_attachment(machine)
    async with ended_unless_saved(lambda: driver.kill(handle)):
        payload = msgspec.json.encode(handle)
        await machine.engine.database.write(store.save_handle, machine.id, "vmm", payload)
    machine.vmm = handle
    if saved is None:
        await driver.wait_ready(handle, deadline_s=READY_DEADLINE_S)
    else:
        await driver.restore(handle, saved / templates.STATE, deadline_s=READY_DEADLINE_S)


def _plan_machine(machine: Machine, memory: Path | None) -> MachineConfig:
    engine, spec = machine.engine, machine.record.spec
    image = images.get_image(engine.layout, spec.image)
    kernel = kernels.get_kernel(engine.layout, spec.kernel)
    folder = kernels.kernel_dir(engine.layout, kernel)
    return plan_machine(
        layout=engine.layout,
        vm_id=machine.id,
        spec=spec,
        shared=SharedFiles(
            bzimage=folder / kernel.bzimage,
            vmlinux=folder / kernel.vmlinux,
            initramfs=folder / kernel.initramfs,
            root=images.require_root(engine.layout, image),
            modules=folder / kernel.tree if kernel.tree else None,
            has_pvh=memory is None and _has_pvh(engine.layout, kernel),
        ),
        mac=None if machine.interface is None else machine.interface.mac,
        tsc_khz=engine.host.cpu.tsc_khz,
        memory=memory,
    )


def _has_pvh(layout: Layout, kernel: Kernel) -> bool:
    """Tell whether a kernel is known to have PVH; False if its configuration cannot be read."""
    try:
        return kernels.load_form(layout, kernel).has_option("PVH")
    except KernelUnfit:
        return False


async def _end_vmm(machine: Machine, _: Step) -> None:
    """End the VMM and forget its handle; fine if there is none."""
    vmm = machine.vmm
    if vmm is not None and not await machine.control.quit(vmm, deadline_s=QUIT_DEADLINE_S):
        await machine.control.kill(vmm)
    await close_connection(machine.runtime)
    await machine.engine.database.write(store.delete_handle, machine.id, "vmm")
    machine.vmm = None


ACTORS: tuple[Actor[Any], ...] = (
    Actor(SpawnVmm, _start_vmm, undo=_end_vmm, stage="vmm"),
    Actor(RestoreVmm, _start_vmm, undo=_end_vmm, stage="restore"),
    Actor(EndVmm, _end_vmm),
)
