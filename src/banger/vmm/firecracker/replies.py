"""The shapes of Firecracker's replies. Pure.

All of it is `untrusted_` until it was decoded into these: Firecracker may have been taken over by
its guest. A field that a newer release adds is ignored.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from banger.vmm.firecracker.shapes import (
    Balloon,
    BootSource,
    Drive,
    EntropyDevice,
    MachineConfiguration,
    NetworkInterface,
    Vsock,
)


class InstanceState(StrEnum):
    """How far a VM is."""

    NOT_STARTED = "Not started"
    RUNNING = "Running"
    PAUSED = "Paused"


class InstanceInfo(Struct, frozen=True, kw_only=True):
    """The answer to `GET /`."""

    app_name: str
    id: str
    state: InstanceState
    vmm_version: str


class FirecrackerVersion(Struct, frozen=True, kw_only=True):
    """The answer to `GET /version`."""

    firecracker_version: str


class BalloonStatistics(Struct, frozen=True, kw_only=True):
    """The answer to `GET /balloon/statistics`; bytes where the name does not say otherwise.

    What only the guest can say is None until its driver has, and it may say anything.
    """

    target_pages: int
    actual_pages: int
    target_mib: int
    actual_mib: int
    free_memory: int | None = None
    total_memory: int | None = None
    available_memory: int | None = None
    disk_caches: int | None = None
    swap_in: int | None = None
    swap_out: int | None = None
    major_faults: int | None = None
    minor_faults: int | None = None


class VmConfiguration(Struct, frozen=True, kw_only=True, rename="kebab"):
    """The answer to `GET /vm/config`: what banger configures of it."""

    machine_config: MachineConfiguration
    boot_source: BootSource | None = None
    drives: list[Drive] = []
    network_interfaces: list[NetworkInterface] = []
    vsock: Vsock | None = None
    entropy: EntropyDevice | None = None
    balloon: Balloon | None = None


class Fault(Struct, frozen=True):
    """The body of every refusal."""

    fault_message: str
