"""The things that Firecracker's API configures, as it names them. Pure.

Optional fields are None where nothing is asked for.
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


class SnapshotType(StrEnum):
    """All of the guest's memory, or the pages that it has written to."""

    FULL = "Full"
    DIFF = "Diff"


class BackendType(StrEnum):
    """Where a restored guest's memory comes from: a file, mapped privately."""

    FILE = "File"


class MachineConfiguration(Shape, frozen=True, kw_only=True):
    """Processors (1 to 32) and memory."""

    vcpu_count: int
    mem_size_mib: int
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


class NetworkInterface(Shape, frozen=True, kw_only=True):
    """A virtio network device. `host_dev_name` is a TAP of Firecracker's network namespace."""

    iface_id: str
    host_dev_name: str
    guest_mac: str | None = None


class Vsock(Shape, frozen=True, kw_only=True):
    """The vsock device. A relative `uds_path` is seen from Firecracker's working directory."""

    guest_cid: int
    """3 or more; only the guest sees it."""
    uds_path: str


class EntropyDevice(Shape, frozen=True, kw_only=True):
    """A virtio source of random bytes."""


class Balloon(Shape, frozen=True, kw_only=True):
    """The balloon: memory that the guest gives back."""

    amount_mib: int
    deflate_on_oom: bool
    free_page_reporting: bool | None = None
    """Have the guest report free pages, and take them back (`Feature.FREE_PAGES`)."""


class SnapshotCreation(Shape, frozen=True, kw_only=True):
    """The two files of a snapshot; both are written over."""

    snapshot_path: str
    mem_file_path: str
    snapshot_type: SnapshotType | None = None


class MemoryBackend(Shape, frozen=True, kw_only=True):
    """The memory of a restored guest."""

    backend_path: str
    backend_type: BackendType


class SnapshotLoad(Shape, frozen=True, kw_only=True):
    """A snapshot's files, and how a VM is made of them."""

    snapshot_path: str
    mem_backend: MemoryBackend
    track_dirty_pages: bool | None = None
    enable_diff_snapshots: bool | None = None
    """What `track_dirty_pages` was called before `Feature.TRACK_AFTER_LOAD`."""
    resume_vm: bool | None = None
    """Let the guest run at once."""


class VmConfiguration(Struct, frozen=True, kw_only=True, rename="kebab"):
    """A whole machine, as `--config-file` takes it and `GET /vm/config` answers it."""

    machine_config: MachineConfiguration
    boot_source: BootSource | None = None
    drives: list[Drive] = []
    network_interfaces: list[NetworkInterface] = []
    vsock: Vsock | None = None
    entropy: EntropyDevice | None = None
    balloon: Balloon | None = None
