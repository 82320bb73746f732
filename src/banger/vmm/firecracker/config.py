"""Firecracker's configuration of a machine. Pure; the reasons with figures are in ADR 0071.

Firecracker reads it as a file when it starts (`--config-file`), which is one step instead of a
dozen requests. Its shapes are those of the API (`shapes`).
"""

from __future__ import annotations

from banger.host.attachments import TAP_NAME
from banger.vmm.driver import MachineConfig
from banger.vmm.firecracker.names import CONFIGURATION, DATA, MODULES, ROOT
from banger.vmm.firecracker.shapes import (
    Balloon,
    BootSource,
    CacheType,
    Drive,
    EntropyDevice,
    IoEngine,
    MachineConfiguration,
    NetworkInterface,
    VmConfiguration,
    Vsock,
)
from banger.vmm.firecracker.versions import Feature, Version, features_of

FORMAT = 2
"""Raised with every change of the machine that a guest sees: templates of another one are not used
(D5)."""
GUEST_CID = 3
"""Only the guest sees it: each Firecracker has a vsock of its own."""
NETWORK = "net"
KERNEL_WORDS = (
    "console=ttyS0",
    "quiet",  # errors and worse still reach the console
    "panic=-1",
    "reboot=t",  # a triple fault, which ends Firecracker
    "random.trust_cpu=on",  # random numbers before the entropy device's module is loaded
    "rdinit=/init",
)


def plan_argv(config: MachineConfig, *, binary: str) -> list[str]:
    """Return the whole command. Its log's path names the VM (`vmm.leftovers`)."""
    boots = () if config.memory is not None else ("--config-file", CONFIGURATION)
    return [
        binary,
        *("--id", config.vm_id),
        *("--api-sock", str(config.control_socket)),
        *("--log-path", str(config.vmm_log)),
        *("--level", "Warning"),
        *boots,
    ]


def plan_configuration(config: MachineConfig, *, version: Version) -> VmConfiguration:
    """Return the configuration of a machine that boots, for a Firecracker of this version."""
    return VmConfiguration(
        machine_config=MachineConfiguration(
            vcpu_count=config.vcpu,
            mem_size_mib=config.memory_mib,
            # What has changed can be saved without all that has not.
            track_dirty_pages=True,
        ),
        boot_source=BootSource(
            # The uncompressed kernel: older versions take no other.
            kernel_image_path=str(config.shared.vmlinux),
            initrd_path=str(config.shared.initramfs),
            boot_args=" ".join(KERNEL_WORDS),
        ),
        drives=_drives(config),
        network_interfaces=_network(config),
        vsock=Vsock(guest_cid=GUEST_CID, uds_path=config.agent_socket.name),
        entropy=EntropyDevice(),
        balloon=_balloon(version),
    )


def _drives(config: MachineConfig) -> list[Drive]:
    """Return the disks; the guest sees them in this order."""
    data = Drive(
        drive_id=DATA,
        path_on_host=DATA,
        is_root_device=False,
        is_read_only=False,
        # A guest's flush is an fsync of the file (A1).
        cache_type=CacheType.WRITEBACK,
        io_engine=IoEngine.SYNC,
    )
    modules = [] if config.shared.modules is None else [_read_only(MODULES)]
    return [_read_only(ROOT), data, *modules]


def _network(config: MachineConfig) -> list[NetworkInterface]:
    if config.mac is None:
        return []
    return [NetworkInterface(iface_id=NETWORK, host_dev_name=TAP_NAME, guest_mac=config.mac)]


def _read_only(name: str) -> Drive:
    return Drive(
        drive_id=name,
        path_on_host=name,
        is_root_device=False,  # the agent mounts it
        is_read_only=True,
        io_engine=IoEngine.SYNC,
    )


def _balloon(version: Version) -> Balloon | None:
    """What the guest frees is the host's again; memory is never taken from it (hazard D4)."""
    if Feature.FREE_PAGES not in features_of(version):
        return None
    return Balloon(amount_mib=0, deflate_on_oom=True, free_page_reporting=True)
