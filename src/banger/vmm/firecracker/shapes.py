"""The things that Firecracker's API configures, as it names them. Pure.

Sent in requests, and most come back in replies (`GET /vm/config`). Optional fields are None where
nothing is asked for; Firecracker gives null for them.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Shape(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An object of the API; what is None is not sent."""


class CacheType(StrEnum):
    """What a guest's flush of a drive does: nothing, or an `fsync` of its file."""

    UNSAFE = "Unsafe"
    WRITEBACK = "Writeback"


class IoEngine(StrEnum):
    """How a drive's file is read and written: by system calls in turn, or by io_uring."""

    SYNC = "Sync"
    ASYNC = "Async"


class LogLevel(StrEnum):
    """How much Firecracker logs."""

    OFF = "Off"
    ERROR = "Error"
    WARNING = "Warning"
    INFO = "Info"
    DEBUG = "Debug"
    TRACE = "Trace"


class SnapshotType(StrEnum):
    """All of the guest's memory, or the pages that it has written to."""

    FULL = "Full"
    DIFF = "Diff"


class BackendType(StrEnum):
    """Where a restored guest's memory comes from: a file, mapped privately."""

    FILE = "File"


class TokenBucket(Shape, frozen=True, kw_only=True):
    """A limit: `size` bytes or operations in each `refill_time` (ms)."""

    size: int
    refill_time: int
    one_time_burst: int | None = None


class RateLimiter(Shape, frozen=True, kw_only=True):
    """The limits of a device, in bytes and in operations."""

    bandwidth: TokenBucket | None = None
    ops: TokenBucket | None = None


class MachineConfiguration(Shape, frozen=True, kw_only=True):
    """Processors (1 to 32) and memory."""

    vcpu_count: int
    mem_size_mib: int
    smt: bool | None = None
    track_dirty_pages: bool | None = None
    """Note which pages are written to, so that snapshots can be of kind `Diff`."""


class BootSource(Shape, frozen=True, kw_only=True):
    """The kernel, its words, and its initramfs."""

    kernel_image_path: str
    boot_args: str | None = None
    initrd_path: str | None = None


class Drive(Shape, frozen=True, kw_only=True):
    """A virtio block device. `drive_id` has letters, digits and underscores."""

    drive_id: str
    is_root_device: bool
    """Have Firecracker add `root=` to the kernel's words."""
    path_on_host: str | None = None
    is_read_only: bool | None = None
    cache_type: CacheType | None = None
    io_engine: IoEngine | None = None
    rate_limiter: RateLimiter | None = None


class DriveUpdate(Shape, frozen=True, kw_only=True):
    """Another file or other limits for a drive."""

    drive_id: str
    path_on_host: str | None = None
    rate_limiter: RateLimiter | None = None


class NetworkInterface(Shape, frozen=True, kw_only=True):
    """A virtio network device. `host_dev_name` is a TAP of Firecracker's network namespace."""

    iface_id: str
    host_dev_name: str
    guest_mac: str | None = None
    rx_rate_limiter: RateLimiter | None = None
    tx_rate_limiter: RateLimiter | None = None


class NetworkInterfaceUpdate(Shape, frozen=True, kw_only=True):
    """Other limits for a network interface."""

    iface_id: str
    rx_rate_limiter: RateLimiter | None = None
    tx_rate_limiter: RateLimiter | None = None


class Vsock(Shape, frozen=True, kw_only=True):
    """The vsock device. A relative `uds_path` is seen from Firecracker's working directory."""

    guest_cid: int
    """3 or more; only the guest sees it."""
    uds_path: str


class EntropyDevice(Shape, frozen=True, kw_only=True):
    """A virtio source of random bytes."""

    rate_limiter: RateLimiter | None = None


class SerialDevice(Shape, frozen=True, kw_only=True):
    """Where the serial console's output goes: a file or pipe instead of Firecracker's stdout."""

    serial_out_path: str | None = None


class Balloon(Shape, frozen=True, kw_only=True):
    """The balloon: memory that the guest gives back."""

    amount_mib: int
    deflate_on_oom: bool
    stats_polling_interval_s: int | None = None
    """0: the guest is never asked."""
    free_page_reporting: bool | None = None
    """Have the guest report free pages, and take them back (`Feature.FREE_PAGES`)."""


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


class SnapshotCreation(Shape, frozen=True, kw_only=True):
    """The two files of a snapshot; both are written over."""

    snapshot_path: str
    mem_file_path: str
    snapshot_type: SnapshotType | None = None


class MemoryBackend(Shape, frozen=True, kw_only=True):
    """The memory of a restored guest."""

    backend_path: str
    backend_type: BackendType


class NetworkOverride(Shape, frozen=True, kw_only=True):
    """Another TAP for a restored network interface."""

    iface_id: str
    host_dev_name: str


class VsockOverride(Shape, frozen=True, kw_only=True):
    """Another socket for a restored vsock device."""

    uds_path: str


class SnapshotLoad(Shape, frozen=True, kw_only=True):
    """A snapshot's files, and what is to be different in the VM that is made of it."""

    snapshot_path: str
    mem_backend: MemoryBackend
    track_dirty_pages: bool | None = None
    enable_diff_snapshots: bool | None = None
    """What `track_dirty_pages` was called before `Feature.TRACK_AFTER_LOAD`."""
    resume_vm: bool | None = None
    """Let the guest run at once."""
    network_overrides: list[NetworkOverride] | None = None
    vsock_override: VsockOverride | None = None
    """`Feature.VSOCK_OVERRIDE`."""
    clock_realtime: bool | None = None
    """Advance the guest's kvmclock by the time since the snapshot (`Feature.CLOCK_REALTIME`)."""
