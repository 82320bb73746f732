"""What the engine knows of QEMU before it starts one."""

from __future__ import annotations

import socket

from banger.host.attachments import AttachmentKind
from banger.model.artifacts import KernelForm
from banger.model.vm import VCPU_RANGE, Accel, VmSpec
from banger.settings import Settings
from banger.vmm.driver import Capability, DiskNames, Limits, Upgrade, VmmHandle
from banger.vmm.qemu.control import QemuControl
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.limits import plan_limits
from banger.vmm.qemu.probe import probe_qemu
from banger.vmm.qemu.proof import find_failure
from banger.vmm.qemu.settings import QemuSettings
from banger.vmm.qemu.upgrade import find_upgrade
from banger.vmm.sockets import connect_agent_socket


class Qemu:
    """The QEMU that the settings name."""

    capabilities = frozenset({Capability.PAUSE, Capability.NETWORK, Capability.SNAPSHOTS})
    accels = frozenset(Accel)
    vcpu_max = VCPU_RANGE.stop - 1
    attachment = AttachmentKind.SOCKET
    control = QemuControl()
    disk_names = DiskNames(root="serial:root", data="serial:data", modules="serial:modules")
    process_names = ("qemu-system-", "bwrap$")

    def list_programs(self, settings: Settings) -> tuple[str, ...]:
        """Return QEMU's program."""
        return (settings.of(QemuSettings).binary,)

    def plan_limits(self, spec: VmSpec) -> Limits:
        """Return what QEMU needs for a guest of this size, and no more."""
        shape = spec.shape
        return plan_limits(vcpu=shape.vcpu, memory_mib=shape.memory_mib, accel=spec.accel)

    def find_kernel_obstacle(self, form: KernelForm) -> str | None:
        """An ELF file is entered by PVH only."""
        if form.is_compressed or form.has_option("PVH"):
            return None
        return "QEMU boots an uncompressed kernel only if it was built with CONFIG_PVH."

    async def connect_agent(self, handle: VmmHandle, *, deadline_s: float) -> socket.socket:
        """Connect to the Unix socket that the guest's virtio port is."""
        return await connect_agent_socket(handle.agent_socket, deadline_s=deadline_s)

    async def open(self, settings: Settings) -> QemuDriver:
        """Return the driver of this host's QEMU, which is asked for its version."""
        return QemuDriver(await probe_qemu(settings.of(QemuSettings).binary))

    async def find_proof_failure(self, settings: Settings, accel: Accel) -> str | None:
        """Run a guest of a few instructions."""
        return await find_failure(settings.of(QemuSettings).binary, accel)

    async def find_upgrade(self, settings: Settings) -> Upgrade | None:
        """Return the newer QEMU of the distribution's backports, if this one is old."""
        return await find_upgrade(settings)


DRIVER = Qemu()
