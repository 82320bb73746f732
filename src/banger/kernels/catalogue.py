"""Which kernels can be pulled, and what a guest needs of any kernel. Data; pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PackagedKernel:
    """A kernel of a distribution: its name here, and its package for each architecture."""

    name: str
    suite: str
    packages: dict[str, str]
    """By architecture, as `uname -m` says."""


_CLOUD = {"x86_64": "linux-image-cloud-amd64", "aarch64": "linux-image-cloud-arm64"}
_GENERIC = {"x86_64": "linux-image-amd64", "aarch64": "linux-image-arm64"}

KERNELS: dict[str, PackagedKernel] = {
    kernel.name: kernel
    for kernel in (
        PackagedKernel("debian-cloud", "bookworm", _CLOUD),
        PackagedKernel("debian-generic", "bookworm", _GENERIC),
        PackagedKernel("debian-trixie-cloud", "trixie", _CLOUD),
        PackagedKernel("debian-trixie-generic", "trixie", _GENERIC),
    )
}
"""What `kernel pull` knows, by name."""


@dataclass(frozen=True)
class Need:
    """One thing that a guest needs: built in (`option`=y), or as `module` (`option`=m)."""

    option: str
    module: str | None
    purpose: str
    required: bool = True
    """False: guests run without it, and miss what it is for."""


NEEDS: tuple[Need, ...] = (
    Need("MODULES", None, "loading modules", required=False),
    Need("BLK_DEV_INITRD", None, "starting the agent"),
    Need("BINFMT_ELF", None, "running programs"),
    Need("BINFMT_SCRIPT", None, "running scripts"),
    Need("FUTEX", None, "every C library"),
    Need("MULTIUSER", None, "users other than root"),
    Need("PROC_FS", None, "/proc"),
    Need("SYSFS", None, "/sys"),
    Need("DEVTMPFS", None, "/dev"),
    Need("TMPFS", None, "/run and /tmp"),
    Need("CGROUPS", None, "systemd and containers"),
    Need("INOTIFY_USER", None, "systemd"),
    Need("SIGNALFD", None, "the agent and systemd"),
    Need("TIMERFD", None, "systemd"),
    Need("EPOLL", None, "the agent and systemd"),
    Need("FHANDLE", None, "systemd"),
    Need("UNIX98_PTYS", None, "terminals"),
    Need("UNIX", "unix", "local sockets"),
    Need("INET", None, "networking"),
    Need("IPV6", "ipv6", "networking", required=False),
    Need("PACKET", "af_packet", "DHCP clients and packet capture", required=False),
    Need("VIRTIO_MMIO", "virtio_mmio", "devices of machines without PCI"),
    Need("VIRTIO_PCI", "virtio_pci", "devices of PCI machines", required=False),
    Need("VIRTIO_BLK", "virtio_blk", "disks"),
    Need("VIRTIO_CONSOLE", "virtio_console", "the agent's port"),
    Need("VIRTIO_NET", "virtio_net", "the network interface"),
    Need("HW_RANDOM_VIRTIO", "virtio-rng", "entropy", required=False),
    Need("VIRTIO_BALLOON", "virtio_balloon", "returning memory", required=False),
    Need(
        "VIRTIO_VSOCKETS",
        "vmw_vsock_virtio_transport",
        "sockets between guest and host",
        required=False,
    ),
    Need("EXT4_FS", "ext4", "the data disk"),
    Need("SQUASHFS", "squashfs", "image roots"),
    Need("EROFS_FS", "erofs", "image roots", required=False),
    Need("OVERLAY_FS", "overlay", "the writable root"),
)
"""In load order, as far as dependencies leave a choice: what brings up disks and the port first."""

MACHINES: dict[str, tuple[Need, ...]] = {
    "x86_64": (
        Need("SERIAL_8250_CONSOLE", None, "the serial console"),
        # Packaged kernels take no devices from their command line.
        Need("ACPI", None, "finding the devices"),
    ),
    "aarch64": (Need("SERIAL_AMBA_PL011_CONSOLE", None, "the serial console"),),
}


def needs_of(arch: str) -> tuple[Need, ...]:
    """Return what a guest of this architecture needs."""
    return (*NEEDS, *MACHINES.get(arch, ()))
