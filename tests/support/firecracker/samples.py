"""Every request that banger makes of Firecracker: with all of its fields, and with the fewest."""

from __future__ import annotations

from typing import Any

from banger.vmm.firecracker import requests, shapes
from banger.vmm.firecracker.requests import Request
from banger.vmm.firecracker.versions import Feature

BUCKET = shapes.TokenBucket(size=10_000_000, refill_time=1000, one_time_burst=20_000_000)
LIMITER = shapes.RateLimiter(bandwidth=BUCKET, ops=shapes.TokenBucket(size=900, refill_time=100))

FULL: tuple[Request[Any], ...] = (
    requests.describe_instance(),
    requests.get_version(),
    requests.get_vm_configuration(),
    requests.get_machine_configuration(),
    requests.put_machine_configuration(
        shapes.MachineConfiguration(
            vcpu_count=2, mem_size_mib=1024, smt=False, track_dirty_pages=True
        )
    ),
    requests.put_boot_source(
        shapes.BootSource(
            kernel_image_path="/k/vmlinux", boot_args="console=ttyS0", initrd_path="/k/initramfs"
        )
    ),
    requests.put_drive(
        shapes.Drive(
            drive_id="root",
            is_root_device=False,
            path_on_host="/i/root.squashfs",
            is_read_only=True,
            cache_type=shapes.CacheType.WRITEBACK,
            io_engine=shapes.IoEngine.ASYNC,
            rate_limiter=LIMITER,
        )
    ),
    requests.patch_drive(
        shapes.DriveUpdate(drive_id="root", path_on_host="/v/data.img", rate_limiter=LIMITER)
    ),
    requests.put_network_interface(
        shapes.NetworkInterface(
            iface_id="eth0",
            host_dev_name="tap0",
            guest_mac="02:00:00:00:00:01",
            rx_rate_limiter=LIMITER,
            tx_rate_limiter=LIMITER,
        )
    ),
    requests.patch_network_interface(
        shapes.NetworkInterfaceUpdate(
            iface_id="eth0", rx_rate_limiter=LIMITER, tx_rate_limiter=LIMITER
        )
    ),
    requests.put_vsock(shapes.Vsock(guest_cid=3, uds_path="agent.sock")),
    requests.put_entropy(shapes.EntropyDevice(rate_limiter=LIMITER)),
    requests.put_serial(shapes.SerialDevice(serial_out_path="/v/console.log")),
    requests.put_balloon(
        shapes.Balloon(
            amount_mib=0,
            deflate_on_oom=True,
            stats_polling_interval_s=5,
            free_page_reporting=True,
        )
    ),
    requests.get_balloon(),
    requests.patch_balloon(shapes.BalloonUpdate(amount_mib=64)),
    requests.get_balloon_statistics(),
    requests.patch_balloon_statistics(interval_s=10),
    requests.put_logger(
        shapes.Logger(
            log_path="/v/vmm.log",
            level=shapes.LogLevel.OFF,
            show_level=True,
            show_log_origin=False,
        )
    ),
    requests.put_metrics(shapes.Metrics(metrics_path="/v/metrics")),
    requests.act(requests.Action.START),
    requests.set_activity(requests.Activity.PAUSED),
    requests.create_snapshot(
        shapes.SnapshotCreation(
            snapshot_path="/s/state",
            mem_file_path="/s/memory",
            snapshot_type=shapes.SnapshotType.DIFF,
        )
    ),
    requests.load_snapshot(
        shapes.SnapshotLoad(
            snapshot_path="/s/state",
            mem_backend=shapes.MemoryBackend(
                backend_path="/s/memory", backend_type=shapes.BackendType.FILE
            ),
            track_dirty_pages=True,
            resume_vm=True,
            network_overrides=[shapes.NetworkOverride(iface_id="eth0", host_dev_name="tap1")],
            vsock_override=shapes.VsockOverride(uds_path="agent.sock"),
            clock_realtime=True,
        ),
        frozenset(Feature),
    ),
)
"""Each kind of request once, with all that banger may say in it."""

LEAST: tuple[Request[Any], ...] = (
    requests.put_machine_configuration(shapes.MachineConfiguration(vcpu_count=1, mem_size_mib=128)),
    requests.put_boot_source(shapes.BootSource(kernel_image_path="/k/vmlinux")),
    requests.put_drive(shapes.Drive(drive_id="data", is_root_device=False)),
    requests.patch_drive(shapes.DriveUpdate(drive_id="data")),
    requests.put_network_interface(shapes.NetworkInterface(iface_id="eth0", host_dev_name="tap0")),
    requests.patch_network_interface(shapes.NetworkInterfaceUpdate(iface_id="eth0")),
    requests.put_entropy(shapes.EntropyDevice()),
    requests.put_serial(shapes.SerialDevice()),
    requests.put_balloon(shapes.Balloon(amount_mib=0, deflate_on_oom=False)),
    requests.put_logger(shapes.Logger()),
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
    *(requests.act(action) for action in requests.Action),
    *(requests.set_activity(activity) for activity in requests.Activity),
    *(requests.put_logger(shapes.Logger(level=level)) for level in shapes.LogLevel),
    *(
        requests.put_drive(shapes.Drive(drive_id="data", is_root_device=True, cache_type=cache))
        for cache in shapes.CacheType
    ),
    *(
        requests.put_drive(shapes.Drive(drive_id="data", is_root_device=True, io_engine=engine))
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
