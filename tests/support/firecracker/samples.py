"""Requests of Firecracker, also such as only tests send: with all fields, and with the fewest."""

from __future__ import annotations

from typing import Any

from banger.vmm.firecracker import requests, shapes
from banger.vmm.firecracker.requests import Request
from banger.vmm.firecracker.versions import Feature
from tests.support.firecracker import unsent

BUCKET = unsent.TokenBucket(size=10_000_000, refill_time=1000, one_time_burst=20_000_000)
LIMITER = unsent.RateLimiter(bandwidth=BUCKET, ops=unsent.TokenBucket(size=900, refill_time=100))

FULL: tuple[Request[Any], ...] = (
    requests.describe_instance(),
    unsent.get_version(),
    unsent.get_vm_configuration(),
    unsent.get_machine_configuration(),
    unsent.put_machine_configuration(
        shapes.MachineConfiguration(vcpu_count=2, mem_size_mib=1024, track_dirty_pages=True)
    ),
    unsent.put_boot_source(
        shapes.BootSource(
            kernel_image_path="/k/vmlinux", boot_args="console=ttyS0", initrd_path="/k/initramfs"
        )
    ),
    unsent.put_drive(
        shapes.Drive(
            drive_id="root",
            is_root_device=False,
            path_on_host="/i/root.squashfs",
            is_read_only=True,
            cache_type=shapes.CacheType.WRITEBACK,
            io_engine=shapes.IoEngine.ASYNC,
        )
    ),
    unsent.patch_drive(
        unsent.DriveUpdate(drive_id="root", path_on_host="/v/data.img", rate_limiter=LIMITER)
    ),
    unsent.put_network_interface(
        shapes.NetworkInterface(
            iface_id="eth0",
            host_dev_name="tap0",
            guest_mac="02:00:00:00:00:01",
        )
    ),
    unsent.patch_network_interface(
        unsent.NetworkInterfaceUpdate(
            iface_id="eth0", rx_rate_limiter=LIMITER, tx_rate_limiter=LIMITER
        )
    ),
    unsent.put_vsock(shapes.Vsock(guest_cid=3, uds_path="agent.sock")),
    unsent.put_entropy(shapes.EntropyDevice()),
    unsent.put_serial(unsent.SerialDevice(serial_out_path="/v/console.log")),
    unsent.put_balloon(
        shapes.Balloon(
            amount_mib=0,
            deflate_on_oom=True,
            free_page_reporting=True,
        )
    ),
    unsent.get_balloon(),
    unsent.patch_balloon(unsent.BalloonUpdate(amount_mib=64)),
    unsent.get_balloon_statistics(),
    unsent.patch_balloon_statistics(interval_s=10),
    unsent.put_logger(
        unsent.Logger(
            log_path="/v/vmm.log",
            level=unsent.LogLevel.OFF,
            show_level=True,
            show_log_origin=False,
        )
    ),
    unsent.put_metrics(unsent.Metrics(metrics_path="/v/metrics")),
    unsent.act(unsent.Action.START),
    requests.set_activity(requests.Activity.PAUSED),
    requests.create_snapshot(
        shapes.SnapshotCreation(
            snapshot_path="/s/state",
            mem_file_path="/s/memory",
            snapshot_type=shapes.SnapshotType.DIFF,
        )
    ),
    requests.load_snapshot(
        unsent.SnapshotLoad(
            snapshot_path="/s/state",
            mem_backend=shapes.MemoryBackend(
                backend_path="/s/memory", backend_type=shapes.BackendType.FILE
            ),
            track_dirty_pages=True,
            resume_vm=True,
            network_overrides=[unsent.NetworkOverride(iface_id="eth0", host_dev_name="tap1")],
            vsock_override=unsent.VsockOverride(uds_path="agent.sock"),
            clock_realtime=True,
        ),
        frozenset(Feature),
    ),
)
"""Each kind of request once, with all that banger may say in it."""

LEAST: tuple[Request[Any], ...] = (
    unsent.put_machine_configuration(shapes.MachineConfiguration(vcpu_count=1, mem_size_mib=128)),
    unsent.put_boot_source(shapes.BootSource(kernel_image_path="/k/vmlinux")),
    unsent.put_drive(shapes.Drive(drive_id="data", is_root_device=False)),
    unsent.patch_drive(unsent.DriveUpdate(drive_id="data")),
    unsent.put_network_interface(shapes.NetworkInterface(iface_id="eth0", host_dev_name="tap0")),
    unsent.patch_network_interface(unsent.NetworkInterfaceUpdate(iface_id="eth0")),
    unsent.put_serial(unsent.SerialDevice()),
    unsent.put_balloon(shapes.Balloon(amount_mib=0, deflate_on_oom=False)),
    unsent.put_logger(unsent.Logger()),
    requests.create_snapshot(
        shapes.SnapshotCreation(snapshot_path="/s/state", mem_file_path="/s/memory")
    ),
    requests.load_snapshot(
        shapes.SnapshotLoad(
            snapshot_path="/s/state",
            mem_backend=shapes.MemoryBackend(
                backend_path="/s/memory", backend_type=shapes.BackendType.FILE
            ),
        ),
        frozenset(Feature),
    ),
    requests.load_snapshot(
        shapes.SnapshotLoad(
            snapshot_path="/s/state",
            mem_backend=shapes.MemoryBackend(
                backend_path="/s/memory", backend_type=shapes.BackendType.FILE
            ),
            track_dirty_pages=True,
        ),
        frozenset(),
    ),
)
"""With nothing that may be left out; the last as the oldest version knows it."""

WORDS: tuple[Request[Any], ...] = (
    *(unsent.act(action) for action in unsent.Action),
    *(requests.set_activity(activity) for activity in requests.Activity),
    *(unsent.put_logger(unsent.Logger(level=level)) for level in unsent.LogLevel),
    *(
        unsent.put_drive(shapes.Drive(drive_id="data", is_root_device=True, cache_type=cache))
        for cache in shapes.CacheType
    ),
    *(
        unsent.put_drive(shapes.Drive(drive_id="data", is_root_device=True, io_engine=engine))
        for engine in shapes.IoEngine
    ),
    *(
        requests.create_snapshot(
            shapes.SnapshotCreation(
                snapshot_path="/s/state", mem_file_path="/s/memory", snapshot_type=kind
            )
        )
        for kind in shapes.SnapshotType
    ),
)
"""Every word that stands for something."""
