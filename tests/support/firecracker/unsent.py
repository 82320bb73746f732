"""Requests of Firecracker's API that banger does not send, and their shapes. Pure.

With them tests configure and start the stand-in request by request, and try the check of requests
against the description of the API.
"""

from __future__ import annotations

from enum import StrEnum
from types import NoneType

from msgspec import Struct

from banger.vmm.firecracker import shapes
from banger.vmm.firecracker.requests import Method, Request
from banger.vmm.firecracker.shapes import Shape


class Action(StrEnum):
    """What `PUT /actions` does."""

    START = "InstanceStart"
    FLUSH_METRICS = "FlushMetrics"


class LogLevel(StrEnum):
    """How much Firecracker logs."""

    OFF = "Off"
    ERROR = "Error"
    WARNING = "Warning"
    INFO = "Info"
    DEBUG = "Debug"
    TRACE = "Trace"


class TokenBucket(Shape, frozen=True, kw_only=True):
    """A limit: `size` bytes or operations in each `refill_time` (ms)."""

    size: int
    refill_time: int
    one_time_burst: int | None = None


class RateLimiter(Shape, frozen=True, kw_only=True):
    """The limits of a device, in bytes and in operations."""

    bandwidth: TokenBucket | None = None
    ops: TokenBucket | None = None


class DriveUpdate(Shape, frozen=True, kw_only=True):
    """Another file or other limits for a drive."""

    drive_id: str
    path_on_host: str | None = None
    rate_limiter: RateLimiter | None = None


class NetworkInterfaceUpdate(Shape, frozen=True, kw_only=True):
    """Other limits for a network interface."""

    iface_id: str
    rx_rate_limiter: RateLimiter | None = None
    tx_rate_limiter: RateLimiter | None = None


class SerialDevice(Shape, frozen=True, kw_only=True):
    """Where the serial console's output goes: a file or pipe instead of Firecracker's stdout."""

    serial_out_path: str | None = None


class BalloonUpdate(Shape, frozen=True, kw_only=True):
    """Another size for the balloon."""

    amount_mib: int


class Logger(Shape, frozen=True, kw_only=True):
    """Firecracker's own log: a file (before 1.14 one that is there already), or a pipe."""

    log_path: str | None = None
    level: LogLevel | None = None
    show_level: bool | None = None
    show_log_origin: bool | None = None


class Metrics(Shape, frozen=True, kw_only=True):
    """Where Firecracker writes a line of metrics every minute: a file or pipe, as for the log."""

    metrics_path: str


class NetworkOverride(Shape, frozen=True, kw_only=True):
    """Another TAP for a restored network interface."""

    iface_id: str
    host_dev_name: str


class VsockOverride(Shape, frozen=True, kw_only=True):
    """Another socket for a restored vsock device."""

    uds_path: str


class SnapshotLoad(shapes.SnapshotLoad, frozen=True, kw_only=True):
    """With what only some versions know, and what banger does not ask for."""

    network_overrides: list[NetworkOverride] | None = None
    vsock_override: VsockOverride | None = None
    """`Feature.VSOCK_OVERRIDE`."""
    clock_realtime: bool | None = None
    """Advance the guest's kvmclock by the time since the snapshot (`Feature.CLOCK_REALTIME`)."""


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


class _ActionInfo(Shape, frozen=True, kw_only=True):
    action_type: Action


class _StatisticsUpdate(Shape, frozen=True, kw_only=True):
    stats_polling_interval_s: int


def get_version() -> Request[FirecrackerVersion]:
    """Ask for the version; any time."""
    return Request(Method.GET, "/version", FirecrackerVersion)


def get_vm_configuration() -> Request[shapes.VmConfiguration]:
    """Ask for all that was configured; any time. A restored VM's has no boot source."""
    return Request(Method.GET, "/vm/config", shapes.VmConfiguration)


def get_machine_configuration() -> Request[shapes.MachineConfiguration]:
    """Ask for processors and memory; any time."""
    return Request(Method.GET, "/machine-config", shapes.MachineConfiguration)


def put_machine_configuration(machine: shapes.MachineConfiguration) -> Request[None]:
    """Set processors and memory; before the start."""
    return _put("/machine-config", machine)


def put_boot_source(source: shapes.BootSource) -> Request[None]:
    """Set the kernel; before the start."""
    return _put("/boot-source", source)


def put_drive(drive: shapes.Drive) -> Request[None]:
    """Add a drive, or change it; before the start. The guest sees them in this order."""
    return _put(f"/drives/{drive.drive_id}", drive)


def patch_drive(drive: DriveUpdate) -> Request[None]:
    """Give a drive another file or other limits; after the start, also between load and resume."""
    return _patch(f"/drives/{drive.drive_id}", drive)


def put_network_interface(interface: shapes.NetworkInterface) -> Request[None]:
    """Add a network interface, or change it; before the start."""
    return _put(f"/network-interfaces/{interface.iface_id}", interface)


def patch_network_interface(interface: NetworkInterfaceUpdate) -> Request[None]:
    """Give a network interface other limits; after the start."""
    return _patch(f"/network-interfaces/{interface.iface_id}", interface)


def put_vsock(vsock: shapes.Vsock) -> Request[None]:
    """Add the vsock device; before the start."""
    return _put("/vsock", vsock)


def put_entropy(device: shapes.EntropyDevice) -> Request[None]:
    """Add the entropy device; before the start."""
    return _put("/entropy", device)


def put_serial(device: SerialDevice) -> Request[None]:
    """Send the serial console's output elsewhere; before the start (`Feature.SERIAL`)."""
    return _put("/serial", device)


def put_balloon(balloon: shapes.Balloon) -> Request[None]:
    """Add the balloon device; before the start."""
    return _put("/balloon", balloon)


def get_balloon() -> Request[shapes.Balloon]:
    """Ask for the balloon device; any time once there is one."""
    return Request(Method.GET, "/balloon", shapes.Balloon)


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


def _put(path: str, body: Shape) -> Request[None]:
    return Request(Method.PUT, path, NoneType, body)


def _patch(path: str, body: Shape) -> Request[None]:
    return Request(Method.PATCH, path, NoneType, body)
