"""What the engine knows of Firecracker before it starts one."""

from __future__ import annotations

import socket

from banger.host.attachments import AttachmentKind
from banger.model.artifacts import KernelForm
from banger.model.vm import Accel, VmSpec
from banger.settings import Settings
from banger.vmm.driver import Capability, DiskNames, Driver, Limits, Upgrade, VmmHandle
from banger.vmm.firecracker import vsock
from banger.vmm.firecracker.control import FirecrackerControl
from banger.vmm.firecracker.limits import plan_limits
from banger.vmm.firecracker.probe import probe_firecracker
from banger.vmm.firecracker.proof import find_failure
from banger.vmm.firecracker.settings import FirecrackerSettings
from banger.vmm.tap import PROCESS_NAME


class Firecracker:
    """The Firecracker that the settings name."""

    capabilities = frozenset({Capability.PAUSE, Capability.NETWORK, Capability.SNAPSHOTS})
    accels = frozenset({Accel.KVM})
    attachment = AttachmentKind.TAP
    control = FirecrackerControl()
    vcpu_max = 32
    disk_names = DiskNames(root="/dev/vda", data="/dev/vdb", modules="/dev/vdc")
    process_names = ("firecracker", "bwrap$", PROCESS_NAME)

    def list_programs(self, settings: Settings) -> tuple[str, ...]:
        """Return Firecracker's program."""
        return (settings.of(FirecrackerSettings).binary,)

    def plan_limits(self, spec: VmSpec) -> Limits:
        """Return what Firecracker needs for a guest of this size, and no more."""
        return plan_limits(vcpu=spec.shape.vcpu, memory_mib=spec.shape.memory_mib)

    def find_kernel_obstacle(self, _form: KernelForm) -> str | None:
        """The uncompressed kernel is booted, which every kernel has."""
        return None

    async def connect_agent(self, handle: VmmHandle, *, deadline_s: float) -> socket.socket:
        """Connect to the agent's port of the guest's vsock."""
        return await vsock.connect_agent(handle.agent_socket, deadline_s=deadline_s)

    async def open(self, settings: Settings) -> Driver:
        """Return the driver of this host's Firecracker, which is asked for its version."""
        from banger.vmm.firecracker.driver import FirecrackerDriver  # for those who run one

        return FirecrackerDriver(await probe_firecracker(settings.of(FirecrackerSettings).binary))

    async def find_proof_failure(self, settings: Settings, accel: Accel) -> str | None:
        """Run a guest of a few instructions."""
        if accel is not Accel.KVM:
            return "Firecracker runs guests on KVM only."
        return await find_failure(settings.of(FirecrackerSettings).binary)

    async def find_upgrade(self, _settings: Settings) -> Upgrade | None:
        """Firecracker emulates nothing, so no other is better at it."""
        return None


DRIVER = Firecracker()
