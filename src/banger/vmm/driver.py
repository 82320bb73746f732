"""The protocol between the engine and a driver, and its values. Pure.

A VM's host process (the VMM) outlives the daemon. So starting one has two
halves, and the engine writes the handle down in between (hazard B4):

1. `spawn` forks and returns the handle. The process may still fail to start.
2. The engine saves the handle.
3. `wait_ready` returns when the VMM answers, or says why it died.

If the daemon dies between 1 and 2, a VMM runs without a record: its arguments
carry the VM's directory, and `vmm.leftovers.find_leftovers` finds it by that.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from banger.host.attachments import Attachment, AttachmentKind
from banger.host.identity import ProcessIdentity
from banger.layout import Layout
from banger.model.artifacts import KernelForm
from banger.model.names import VmId
from banger.model.vm import Accel, VmSpec
from banger.settings import Settings


class Capability(StrEnum):
    """What only some drivers can do; the value completes "the driver cannot"."""

    PAUSE = "pause VMs"
    """`pause` and `resume`."""
    NETWORK = "connect VMs to a network"
    """`spawn` with a network's attachment."""
    SNAPSHOTS = "save VMs"
    """`pause`, `save` and `restore`: a VM's memory becomes a file that others start from."""


@dataclass(frozen=True, kw_only=True)
class SharedFiles:
    """What any number of machines read, and none writes."""

    bzimage: Path
    """The kernel as it came."""
    vmlinux: Path
    """The same kernel, uncompressed."""
    initramfs: Path
    root: Path
    """The image's root file system."""
    modules: Path | None
    """The kernel's module tree; None: it has none."""
    has_pvh: bool = False
    """`vmlinux` is known to have been built with CONFIG_PVH; only looked at for a boot."""


@dataclass(frozen=True, kw_only=True)
class MachineConfig:
    """One machine, complete: what a driver needs to start it."""

    vm_id: VmId
    vcpu: int
    memory_mib: int
    accel: Accel
    tsc_khz: int | None
    """The host's TSC frequency; None if it is not known. Emulated guests need it."""
    shared: SharedFiles
    data: Path
    """The VM's data disk: a raw sparse file."""
    mac: str | None
    """None: the machine has no network interface."""
    console_log: Path
    """All that the guest writes to its serial console."""
    console_input: Path
    """A FIFO: what is typed at the serial console."""
    vmm_log: Path
    saving: Path
    """A directory that the driver may make, for files that the VMM writes while it is saved."""
    agent_socket: Path
    control_socket: Path
    """In the directory of `agent_socket`, which is the VM's alone."""
    memory: Path | None = None
    """The file that the guest's memory begins as. It is only read: what the guest writes is its
    own (hazard D8), and the VMM waits for `restore` instead of booting."""


@dataclass(frozen=True, kw_only=True)
class DiskNames:
    """How a guest finds its disks: device files such as `/dev/vda`, or `serial:NAME`."""

    root: str
    data: str
    modules: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much of the host a VM's processes together may take.

    The limits are wide: a guest that does what it may never meets one. They are there for a VMM
    that was taken over by its guest, or has a bug (E5), and is then killed, throttled or refused.
    """

    memory_bytes: int
    cpu_percent: int
    tasks: int


class VmmHandle(Struct, frozen=True, kw_only=True):
    """A VMM that was started: plain values, so that a later daemon can adopt it."""

    driver: str
    vm_id: VmId
    process: ProcessIdentity
    program: str
    """The process's name as the kernel has it (at most 15 bytes): part of its identity."""
    monitor: ProcessIdentity | None = None
    """The jail's process outside, the VMM's parent, which ends with the VMM."""
    control_socket: str
    agent_socket: str
    vmm_log: str
    console_log: str | None = None
    """Where the guest's console goes, if the driver looks there."""
    saving: str | None = None
    """The directory for files that it writes while it is saved, if the driver made one."""
    fingerprint: str | None = None
    """The driver's when it was started: what is saved of this VMM fits no other (hazard D5).
    None: a banger that did not write it down."""


class VmmControl(Protocol):
    """How the engine deals with a VMM that was started, also by a program that is gone since."""

    async def pause(self, handle: VmmHandle, *, deadline_s: float) -> None:
        """Stop the guest's processors; fine if they are stopped already.

        Raises:
            VmmFailed: the VMM ended, or refuses.
        """
        ...

    async def resume(self, handle: VmmHandle, *, deadline_s: float) -> None:
        """Let the guest's processors go on; fine if they do already.

        Raises:
            VmmFailed: the VMM ended, or refuses.
        """
        ...

    async def adopt(self, handle: VmmHandle, *, deadline_s: float) -> bool:
        """Tell whether this very VMM still runs and answers, after a restart of the daemon."""
        ...

    async def wait_gone(self, handle: VmmHandle) -> int | None:
        """Return the VMM's exit status when it has ended, and reap it; None: it is unknown."""
        ...

    async def quit(self, handle: VmmHandle, *, deadline_s: float) -> bool:
        """Ask the VMM to end; False if it has not within the deadline.

        The guest is not asked: whatever is to be kept was flushed before (A1).
        """
        ...

    async def kill(self, handle: VmmHandle) -> None:
        """End the VMM whatever it does; when this returns it is gone.

        Raises:
            VmmFailed: not even SIGKILL ended it (a process stuck in the kernel).
        """
        ...


class Driver(VmmControl, Protocol):
    """How the engine starts and saves VMMs with this host's program."""

    @property
    def name(self) -> str: ...

    async def spawn(self, config: MachineConfig, *, network: Attachment | None) -> VmmHandle:
        """Start a VMM and return its handle at once; if that fails nothing of it runs.

        `network` is what a network has for the VMM, of the kind that the driver's kind names;
        the VMM gets a copy of its socket, and the caller closes its own afterwards.

        Raises:
            VmmFailed: it could not be started.
            HostNotReady: the host lacks something that it needs.
        """
        ...

    async def wait_ready(self, handle: VmmHandle, *, deadline_s: float) -> None:
        """Return when the VMM answers and the guest runs.

        Raises:
            VmmFailed: it ended, or does not answer; the details hold the end of its log.
        """
        ...

    async def fingerprint(self) -> str:
        """Return a text that changes whenever a saved state may not fit the VMM (hazard D5)."""
        ...

    async def save(
        self, handle: VmmHandle, *, state: Path, memory: Path, deadline_s: float
    ) -> None:
        """Write the devices' state of a paused VM to a new file, and its memory over `memory`.

        `memory` has the guest's size and holds what the VM's memory began as: holes for a VM
        that booted, else a copy of the file that it was started from.

        Raises:
            VmmFailed: the VMM ended, or refuses.
            HostNotReady: the host does not let us read the VMM's memory.
            NoSpace: there is no room for it.
        """
        ...

    async def restore(self, handle: VmmHandle, state: Path, *, deadline_s: float) -> None:
        """Load a saved state into a VMM that was given its memory; returns when the guest runs.

        Raises:
            VmmFailed: it does not load, or the VMM ended.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """A newer VMM that this distribution offers."""

    fact: str
    """One sentence: the installed VMM, and what the newer one does better."""
    command: str
    """The command line that installs the newer one."""


class DriverKind(Protocol):
    """What the engine knows of a kind of VMM before it has one."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do beyond starting and ending VMs."""
        ...

    @property
    def accels(self) -> frozenset[Accel]:
        """How it can run guests."""
        ...

    @property
    def vcpu_max(self) -> int:
        """The most processors that its guests can have."""
        ...

    @property
    def process_names(self) -> tuple[str, ...]:
        """Patterns of the names that its processes' files have."""
        ...

    @property
    def attachment(self) -> AttachmentKind:
        """What its VMMs are joined to their networks by."""
        ...

    @property
    def control(self) -> VmmControl:
        """What VMMs are controlled by, whatever is installed."""
        ...

    @property
    def disk_names(self) -> DiskNames:
        """How its guests find their disks."""
        ...

    def list_programs(self, settings: Settings) -> tuple[str, ...]:
        """Return the programs that it needs on the host, by these settings."""
        ...

    def plan_limits(self, spec: VmSpec) -> Limits:
        """Return the limits of all processes of a VM, those of its network too. Pure."""
        ...

    def find_kernel_obstacle(self, form: KernelForm, /) -> str | None:
        """Return in one sentence why it does not boot such a kernel, or None."""
        ...

    async def connect_agent(self, handle: VmmHandle, *, deadline_s: float) -> socket.socket:
        """Return a stream socket that leads to the agent in a VMM's guest; the caller owns it.

        The guest may still boot: then the first answer takes as long.

        Raises:
            GuestGone: the VMM ended.
            DeadlineExceeded: it was not reached in time.
        """
        ...

    async def open(self, settings: Settings) -> Driver:
        """Return the driver of this host's VMM.

        Raises:
            ToolMissing: it is not installed.
            HostNotReady: it is too old.
        """
        ...

    async def find_proof_failure(self, settings: Settings, accel: Accel) -> str | None:
        """Run a guest; return in one sentence why it did not run to its end, or None."""
        ...

    async def find_upgrade(self, settings: Settings, /) -> Upgrade | None:
        """Return a newer VMM of the distribution that is better for emulated guests, or None.

        Raises:
            ToolMissing, ToolFailed: the installed VMM does not run.
        """
        ...


def plan_machine(
    *,
    layout: Layout,
    vm_id: VmId,
    spec: VmSpec,
    shared: SharedFiles,
    mac: str | None,
    tsc_khz: int | None,
    memory: Path | None = None,
) -> MachineConfig:
    """Return the machine for a VM's spec, with the files where the layout has them."""
    return MachineConfig(
        vm_id=vm_id,
        vcpu=spec.shape.vcpu,
        memory_mib=spec.shape.memory_mib,
        accel=spec.accel,
        tsc_khz=tsc_khz,
        shared=shared,
        data=layout.vm_data_disk(vm_id),
        mac=mac,
        console_log=layout.vm_console_log(vm_id),
        console_input=layout.vm_console_input(vm_id),
        vmm_log=layout.vm_vmm_log(vm_id),
        saving=layout.vm_saving(vm_id),
        agent_socket=layout.vm_agent_socket(vm_id),
        control_socket=layout.vm_control_socket(vm_id),
        memory=memory,
    )
