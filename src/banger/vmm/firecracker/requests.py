"""What banger asks of Firecracker: each request of its API, and the shapes that go into one. Pure.

Names, fields and their meaning are those of Firecracker's own description (`firecracker.yaml` of
its repository), and the tests hold every request to it. A field that is None is left out, so that
a Firecracker that does not know it never sees it: those refuse what they do not know. Which
release knows what is in `versions`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from banger.vmm.firecracker.replies import (
    BalloonStatistics,
    FirecrackerVersion,
    InstanceInfo,
    VmConfiguration,
)
from banger.vmm.firecracker.shapes import (
    Balloon,
    BalloonUpdate,
    BootSource,
    Drive,
    DriveUpdate,
    EntropyDevice,
    Logger,
    MachineConfiguration,
    Metrics,
    NetworkInterface,
    NetworkInterfaceUpdate,
    SerialDevice,
    Shape,
    SnapshotCreation,
    SnapshotLoad,
    Vsock,
)
from banger.vmm.firecracker.versions import Feature

R = TypeVar("R")

_ID = re.compile(r"[A-Za-z0-9_]{1,64}")


class Method(StrEnum):
    """The methods of HTTP that Firecracker knows."""

    GET = "GET"
    PUT = "PUT"
    PATCH = "PATCH"


@dataclass(frozen=True)
class Request(Generic[R]):
    """One request, and the shape of its reply."""

    method: Method
    path: str
    reply: type[R]
    """None's own type: there is nothing to say but that it was done."""
    body: Struct | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Action(StrEnum):
    """What `PUT /actions` does."""

    START = "InstanceStart"
    FLUSH_METRICS = "FlushMetrics"


class Activity(StrEnum):
    """Whether the guest's processors run, as `PATCH /vm` has it."""

    PAUSED = "Paused"
    RESUMED = "Resumed"


class _ActionInfo(Shape, frozen=True, kw_only=True):
    action_type: Action


class _Vm(Shape, frozen=True, kw_only=True):
    state: Activity


class _StatisticsUpdate(Shape, frozen=True, kw_only=True):
    stats_polling_interval_s: int


def describe_instance() -> Request[InstanceInfo]:
    """Ask for the state; any time."""
    return Request(Method.GET, "/", InstanceInfo)


def get_version() -> Request[FirecrackerVersion]:
    """Ask for the version; any time."""
    return Request(Method.GET, "/version", FirecrackerVersion)


def get_vm_configuration() -> Request[VmConfiguration]:
    """Ask for all that was configured; any time. A restored VM's has no boot source."""
    return Request(Method.GET, "/vm/config", VmConfiguration)


def get_machine_configuration() -> Request[MachineConfiguration]:
    """Ask for processors and memory; any time."""
    return Request(Method.GET, "/machine-config", MachineConfiguration)


def put_machine_configuration(machine: MachineConfiguration) -> Request[None]:
    """Set processors and memory; before the start."""
    return _put("/machine-config", machine)


def put_boot_source(source: BootSource) -> Request[None]:
    """Set the kernel; before the start."""
    return _put("/boot-source", source)


def put_drive(drive: Drive) -> Request[None]:
    """Add a drive, or change it; before the start. The guest sees them in this order."""
    return _put(_path("/drives", drive.drive_id), drive)


def patch_drive(drive: DriveUpdate) -> Request[None]:
    """Give a drive another file or other limits; after the start, also between load and resume."""
    return _patch(_path("/drives", drive.drive_id), drive)


def put_network_interface(interface: NetworkInterface) -> Request[None]:
    """Add a network interface, or change it; before the start."""
    return _put(_path("/network-interfaces", interface.iface_id), interface)


def patch_network_interface(interface: NetworkInterfaceUpdate) -> Request[None]:
    """Give a network interface other limits; after the start."""
    return _patch(_path("/network-interfaces", interface.iface_id), interface)


def put_vsock(vsock: Vsock) -> Request[None]:
    """Add the vsock device; before the start."""
    return _put("/vsock", vsock)


def put_entropy(device: EntropyDevice) -> Request[None]:
    """Add the entropy device; before the start."""
    return _put("/entropy", device)


def put_serial(device: SerialDevice) -> Request[None]:
    """Send the serial console's output elsewhere; before the start (`Feature.SERIAL`)."""
    return _put("/serial", device)


def put_balloon(balloon: Balloon) -> Request[None]:
    """Add the balloon device; before the start."""
    return _put("/balloon", balloon)


def get_balloon() -> Request[Balloon]:
    """Ask for the balloon device; any time once there is one."""
    return Request(Method.GET, "/balloon", Balloon)


def patch_balloon(balloon: BalloonUpdate) -> Request[None]:
    """Set the balloon's size; after the start."""
    return _patch("/balloon", balloon)


def get_balloon_statistics() -> Request[BalloonStatistics]:
    """Ask what the guest said last of its memory; after the start, if it is asked at all."""
    return Request(Method.GET, "/balloon/statistics", BalloonStatistics)


def patch_balloon_statistics(*, interval_s: int) -> Request[None]:
    """Have the guest say more or less often how its memory is; after the start.

    Only from and to an interval of 1 s or more: it cannot be switched on or off any more.
    """
    return _patch("/balloon/statistics", _StatisticsUpdate(stats_polling_interval_s=interval_s))


def put_logger(logger: Logger) -> Request[None]:
    """Say where Firecracker logs to; before the start."""
    return _put("/logger", logger)


def put_metrics(metrics: Metrics) -> Request[None]:
    """Say where Firecracker writes its metrics; once, before the start."""
    return _put("/metrics", metrics)


def act(action: Action) -> Request[None]:
    """Start the VM, or, after that, write the metrics."""
    return _put("/actions", _ActionInfo(action_type=action))


def set_activity(activity: Activity) -> Request[None]:
    """Stop the guest's processors or let them go on; after the start, also if they do already."""
    return _patch("/vm", _Vm(state=activity))


def create_snapshot(snapshot: SnapshotCreation) -> Request[None]:
    """Write a paused VM's state and memory to files; it stays paused.

    Its vsock device tells the guest to drop all connections: not only those that are made of the
    snapshot, also the VM itself, when it is resumed, must be connected to anew.
    """
    return _put("/snapshot/create", snapshot)


def load_snapshot(snapshot: SnapshotLoad, features: frozenset[Feature]) -> Request[None]:
    """Make the VM from files; instead of configuring and starting it.

    Before, nothing but logger, metrics and serial console may have been set. One that fails ends
    Firecracker. `features` are those of its version.
    """
    if Feature.TRACK_AFTER_LOAD not in features:
        tracks = snapshot.track_dirty_pages
        snapshot = replace(snapshot, track_dirty_pages=None, enable_diff_snapshots=tracks)
    return _put("/snapshot/load", snapshot)


def _put(path: str, body: Shape) -> Request[None]:
    return Request(Method.PUT, path, NoneType, body)


def _patch(path: str, body: Shape) -> Request[None]:
    return Request(Method.PATCH, path, NoneType, body)


def _path(collection: str, name: str) -> str:
    """Return the path of a resource; Firecracker decodes nothing in it."""
    if _ID.fullmatch(name) is None:
        raise ValueError(f"{name!r} cannot be the name of one of Firecracker's resources")
    return f"{collection}/{name}"
