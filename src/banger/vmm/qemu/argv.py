"""QEMU's arguments for a machine. Pure; the reasons with figures are in ADR 0003.

Lists of small functions, one for each part of the machine. Descriptors are
passed by number: the sockets were bound by us before QEMU existed, so they
are private from birth and can be connected to at once (hazard G1).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from banger.model.vm import Accel
from banger.vmm.driver import MachineConfig

AGENT_PORT = "banger.agent.0"
FORMAT = 7
"""Raised with every change of the machine that a guest sees: templates of another one are not used
(D5)."""
SAVED_FORM = "suppress-vmdesc=on"
"""With `send-configuration=off` below: a saved state is the devices' sections and nothing else,
which is what `xen-save-devices-state` writes. ADR 0031."""
FAST_RANDOMIZED = (8, 0)
"""The first QEMU that emulates a guest with address space randomization as fast as without. Older
ones translate a program anew for each address that it is loaded at."""
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"


@dataclass(frozen=True, kw_only=True)
class Descriptors:
    """The numbers under which QEMU finds what it inherits."""

    control: int
    agent: int
    network: int | None


def plan_argv(
    config: MachineConfig, *, binary: str, version: tuple[int, ...], descriptors: Descriptors
) -> list[str]:
    """Return the whole command for a QEMU of this version."""
    return [
        binary,
        *_process(config),
        *_machine(config),
        *_memory(config),
        *_kernel(config, version),
        *_console(),
        *_control(descriptors),
        *_disks(config),
        *_agent(descriptors),
        *_network(config, descriptors),
        *_entropy(),
        *_free_pages(),
    ]


def plan_kernel_command_line(config: MachineConfig, *, version: tuple[int, ...]) -> str:
    """Return the kernel's command line, for a QEMU of this version."""
    words = [
        "console=ttyS0",
        "quiet",  # errors and worse still reach the console
        "panic=-1",  # with -no-reboot a panic ends the VMM at once
        "reboot=t",  # a triple fault: microvm has no keyboard controller to reset by
        # Nothing asks SeaBIOS for the disks' geometry. With 1.16.3 and exactly 2 GiB the question
        # ends in garbage, and the guest hangs before its kernel is unpacked (ADR 0003).
        "edd=off",
        "random.trust_cpu=on",  # random numbers before the entropy device's module is loaded
        "rdinit=/init",
    ]
    if config.accel is Accel.TCG:
        words += _emulated_words(config, version)
    return " ".join(words)


def _emulated_words(config: MachineConfig, version: tuple[int, ...]) -> list[str]:
    words = [
        "mitigations=off",  # nothing speculates under emulation
        "cryptomgr.notests",  # the one word that makes the boot itself faster
        "tsc=reliable",  # its watchdog compares with emulated timers, which lag on a busy host
    ]
    if version < FAST_RANDOMIZED:
        words.append("norandmaps")
    if config.tsc_khz is not None:
        # Without it the kernel calibrates the TSC against the emulated PIT, and hangs.
        words.append(f"tsc_early_khz={config.tsc_khz}")
    return words


def _process(config: MachineConfig) -> list[str]:
    return [
        *("-name", f"banger-{config.vm_id},debug-threads=on"),
        "-nodefaults",
        "-no-user-config",
        *("-display", "none"),
        *("-sandbox", SANDBOX),
        "-no-reboot",
    ]


def _machine(config: MachineConfig) -> list[str]:
    accel = "kvm" if config.accel is Accel.KVM else "tcg,thread=multi"
    cpu = "host" if config.accel is Accel.KVM else "max"
    return [
        # ACPI because Debian's kernel takes no devices from its command line; its
        # timers need PIT, PIC and RTC.
        *("-machine", f"microvm,acpi=on,pit=on,pic=on,rtc=on{_backend(config)},{SAVED_FORM}"),
        *("-accel", accel),
        *("-cpu", cpu),
        *("-smp", str(config.vcpu)),
        *("-m", f"{config.memory_mib}M"),
        *("-rtc", "base=utc"),
        *("-global", "migration.send-configuration=off"),
    ]


def _backend(config: MachineConfig) -> str:
    return "" if config.memory is None else ",memory-backend=ram"


def _memory(config: MachineConfig) -> list[str]:
    """Memory that begins as a file's: what the guest writes is its own (hazard D8)."""
    if config.memory is None:
        return []
    backend = {
        "qom-type": "memory-backend-file",
        "id": "ram",
        "size": config.memory_mib * 2**20,
        "mem-path": str(config.memory),
        "share": False,
    }
    return ["-object", json.dumps(backend), "-incoming", "defer", "-S"]


def _kernel(config: MachineConfig, version: tuple[int, ...]) -> list[str]:
    if config.memory is not None:
        # It runs already. QEMU would keep a copy of both files for a firmware that never asks.
        return []
    return [
        *("-kernel", str(config.shared.bzimage)),
        *("-initrd", str(config.shared.initramfs)),
        *("-append", plan_kernel_command_line(config, version=version)),
    ]


def _console() -> list[str]:
    # A FIFO and a file (vmm.console). As a socket with a log the guest's bytes are logged twice
    # whenever the socket takes none.
    return ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]


def _control(descriptors: Descriptors) -> list[str]:
    return [
        *("-chardev", _listening("control", descriptors.control)),
        *("-mon", "chardev=control,mode=control"),
    ]


def _disks(config: MachineConfig) -> list[str]:
    # The host's page cache is the disk's cache: what was written survives the VMM's
    # death, and a flush of the guest is an fdatasync of the file (A1).
    data: dict[str, object] = {"driver": "raw", "node-name": "data"}
    data |= {"discard": "unmap", "detect-zeroes": "unmap"}
    data["file"] = {"driver": "file", "filename": str(config.data), "discard": "unmap"}
    return [
        *_read_only("root", config.shared.root),
        *("-blockdev", json.dumps(data)),
        # A full host is the guest's failed write; QEMU's own way is to stop the VM (A10).
        *("-device", "virtio-blk-device,drive=data,serial=data,werror=report,rerror=report"),
        *([] if config.shared.modules is None else _read_only("modules", config.shared.modules)),
    ]


def _read_only(name: str, path: Path) -> list[str]:
    """Return a disk that many machines read."""
    node: dict[str, object] = {"driver": "raw", "node-name": name, "read-only": True}
    node["file"] = {"driver": "file", "filename": str(path), "read-only": True}
    device = f"virtio-blk-device,drive={name},serial={name}"
    return ["-blockdev", json.dumps(node), "-device", device]


def _agent(descriptors: Descriptors) -> list[str]:
    return [
        *("-device", "virtio-serial-device,max_ports=2"),
        *("-chardev", _listening("agent", descriptors.agent)),
        *("-device", f"virtserialport,chardev=agent,name={AGENT_PORT}"),
    ]


def _network(config: MachineConfig, descriptors: Descriptors) -> list[str]:
    if config.mac is None or descriptors.network is None:
        return []
    stream = f"stream,id=net,server=off,addr.type=fd,addr.str={descriptors.network}"
    return [
        *("-netdev", stream),
        *("-device", f"virtio-net-device,netdev=net,mac={config.mac}"),
    ]


def _entropy() -> list[str]:
    return [
        *("-object", "rng-builtin,id=entropy"),
        *("-device", "virtio-rng-device,rng=entropy"),
    ]


def _free_pages() -> list[str]:
    """What the guest frees is the host's again; memory is never taken from it (hazard D4)."""
    options = [
        "free-page-reporting=on",
        # A clone's page comes back with what its file holds, not zeros. A guest whose free pages
        # must keep their content then does not report them: without this it trusts in zeros.
        "page-poison=off",
        # Linux gives them up for this device itself, since 2026: no allocations while it reports.
        "indirect_desc=off",
    ]
    return ["-device", ",".join(("virtio-balloon-device", *options))]


def _listening(name: str, descriptor: int) -> str:
    return f"socket,id={name},fd={descriptor},server=on,wait=off"
