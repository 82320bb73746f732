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


KERNELS: dict[str, PackagedKernel] = {
    kernel.name: kernel
    for kernel in (
        PackagedKernel(
            name="debian-cloud",
            suite="bookworm",
            packages={
                "x86_64": "linux-image-cloud-amd64",
                "aarch64": "linux-image-cloud-arm64",
            },
        ),
    )
}
"""What `kernel pull` knows, by name."""


@dataclass(frozen=True)
class Need:
    """One thing that a guest needs: built in (`option`=y), or as `module` (`option`=m)."""

    option: str
    module: str | None
    purpose: str


NEEDS: tuple[Need, ...] = (
    Need("MODULES", None, "loading modules"),
    Need("BLK_DEV_INITRD", None, "starting the agent"),
    Need("BINFMT_ELF", None, "running programs"),
    Need("BINFMT_SCRIPT", None, "running scripts"),
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
    Need("UNIX", "unix", "local sockets"),
    Need("INET", None, "networking"),
    Need("IPV6", "ipv6", "networking"),
    Need("PACKET", "af_packet", "DHCP clients and packet capture"),
    Need("VIRTIO_MMIO", "virtio_mmio", "devices of microvm and Firecracker"),
    Need("VIRTIO_PCI", "virtio_pci", "devices of PCI machines"),
    Need("VIRTIO_BLK", "virtio_blk", "disks"),
    Need("VIRTIO_CONSOLE", "virtio_console", "the agent's port"),
    Need("VIRTIO_NET", "virtio_net", "the network interface"),
    Need("HW_RANDOM_VIRTIO", "virtio-rng", "entropy"),
    Need("VIRTIO_BALLOON", "virtio_balloon", "returning memory"),
    Need("VIRTIO_VSOCKETS", "vmw_vsock_virtio_transport", "the agent's socket on Firecracker"),
    Need("EXT4_FS", "ext4", "the data disk"),
    Need("SQUASHFS", "squashfs", "image roots"),
    Need("EROFS_FS", "erofs", "image roots"),
    Need("OVERLAY_FS", "overlay", "the writable root"),
)
"""In load order, as far as dependencies leave a choice: what brings up disks and the port first."""

CONSOLES: dict[str, Need] = {
    "x86_64": Need("SERIAL_8250_CONSOLE", None, "the serial console"),
    "aarch64": Need("SERIAL_AMBA_PL011_CONSOLE", None, "the serial console"),
}


def needs_of(arch: str) -> tuple[Need, ...]:
    """Return what a guest of this architecture needs."""
    console = CONSOLES.get(arch)
    return (*NEEDS, console) if console else NEEDS
