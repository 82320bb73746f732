"""A guest that vsock alone leads to: the program that proves it inside the emulated host.

`python3 vsock.py IMAGE MODULE`, run there by the ordinary user with the installed banger. The
machine is the product's without the agent's port, and with a vhost-vsock device of the
kernel's. MODULE is the kernel's vsock_loopback, which lets a process of the guest reach
the guest's own listeners. Status 0 if all holds; else what failed and the guest's last words.

Owns one QEMU and a temporary directory; QEMU is killed on leaving, whatever happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

from banger import guest, images, kernels
from banger.errors import GuestGone
from banger.host import programs
from banger.layout import layout_from_environment
from banger.model.names import VmId
from banger.model.vm import Accel
from banger.vmm.console import console_files
from banger.vmm.driver import MachineConfig, SharedFiles
from banger.vmm.qemu.argv import Descriptors, plan_argv
from banger.vmm.qemu.probe import probe_qemu
from banger.vmm.sockets import listening_socket

CID, PORT = 3, 5005
"""The guest's address, and where its agent listens (guest protocol, section 1)."""
KERNEL = "debian-cloud"
DEADLINE_S = 240.0
"""For everything; less than the check allows this program."""
ECHOED_BYTES = 1024 * 1024
SERIAL_DEVICE = "virtio-serial-device,max_ports=2"
SERIAL_WORDS = 6
"""Of the port: its controller, its socket, itself, each an option and a value."""

KNOCK = f"""\
use strict;
sub say_and_end {{ print "$_[0]: $!\\n"; exit 1 }}
open(my $module, "<", "/root/loopback.ko") or say_and_end("open");
my $parameters = "";
# finit_module of x86-64
syscall(313, fileno($module), $parameters, 0) == 0 or say_and_end("finit_module");
for my $cid (1, {CID}) {{
    socket(my $agent, 40, 1, 0) or say_and_end("socket");
    connect($agent, pack("SSLLx4", 40, 0, {PORT}, $cid)) or say_and_end("connect to $cid");
    my $size = sysread($agent, my $answer, 1);
    print "$cid ", ($size // "error"), "\\n";
}}
"""
"""Connects to the agent from within: as the loopback, and by the guest's own CID."""


async def main(image: str, loopback: Path) -> None:
    """Boot the guest and prove everything."""
    with tempfile.TemporaryDirectory() as directory:
        config = _plan(image, Path(directory))
        await programs.run(["mke2fs", "-q", "-t", "ext4", str(config.data), "512M"], deadline_s=60)
        try:
            async with asyncio.timeout(DEADLINE_S), _open_machine(config) as vmm:
                await _prove(vmm, loopback)
        except BaseException:
            print(config.console_log.read_text("utf-8", "replace")[-4000:], file=sys.stderr)
            raise


async def _prove(vmm: Process, loopback: Path) -> None:
    connection = await _connect(vmm)
    assert connection.hello.state is guest.AgentState.WAITING, connection.hello
    await guest.ping(connection, deadline_s=DEADLINE_S)
    spec = guest.BootSpec(root="serial:root", data="serial:data")
    await guest.boot(connection, spec, deadline_s=DEADLINE_S)
    await _check_exec(connection)
    await _check_strangers(connection, loopback)
    connection = await _check_succession(vmm, connection)
    await connection.close()
    connection = await _connect(vmm)
    await guest.poweroff(connection, deadline_s=DEADLINE_S)
    assert await vmm.wait() == 0, vmm.returncode


async def _check_exec(connection: guest.GuestConnection) -> None:
    """The status, and more bytes than any buffer holds, both ways and the same (H1, H7)."""
    sent = os.urandom(ECHOED_BYTES)
    argv = (b"sh", b"-c", b"cat; exit 42")
    done = await guest.run(connection, argv, stdin=sent, deadline_s=DEADLINE_S)
    assert done.status == 42, done.status
    assert done.untrusted_stdout == sent, f"{len(done.untrusted_stdout)} other bytes came back"


async def _check_strangers(connection: guest.GuestConnection, loopback: Path) -> None:
    """A process of the guest is sent away, and the host's connection does not notice."""
    module = loopback.read_bytes()
    save = (b"sh", b"-c", b"cat >/root/loopback.ko")
    saved = await guest.run(connection, save, stdin=module, deadline_s=DEADLINE_S)
    assert saved.status == 0, saved
    done = await guest.run(connection, (b"perl", b"-e", KNOCK.encode()), deadline_s=DEADLINE_S)
    assert done.untrusted_stdout == f"1 0\n{CID} 0\n".encode(), done
    await guest.ping(connection, deadline_s=DEADLINE_S)


async def _check_succession(vmm: Process, first: guest.GuestConnection) -> guest.GuestConnection:
    """A new connection takes the old one's place, and what ran on that is killed (H3)."""
    spec = guest.ExecSpec((b"sleep", b"7000"))
    process = await guest.start_exec(first, spec, deadline_s=DEADLINE_S)
    second = await _connect(vmm)
    assert second.hello.state is guest.AgentState.BOOTED, second.hello
    try:
        status = await process.wait()
    except GuestGone:
        pass
    else:
        raise AssertionError(f"the first connection goes on: {status}")
    gone = f"while kill -0 {process.pid}; do sleep 0.1; done".encode()
    await guest.run(second, (b"sh", b"-c", gone), deadline_s=DEADLINE_S)
    return second


async def _connect(vmm: Process) -> guest.GuestConnection:
    """Connect as soon as the guest's agent listens."""
    while True:
        assert vmm.returncode is None, await _read_errors(vmm)
        sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (CID, PORT))
        except OSError:  # no driver, or no listener, or too slow: not yet
            sock.close()
            await asyncio.sleep(0.1)
        except BaseException:
            sock.close()
            raise
        else:
            return await guest.connect(sock, deadline_s=DEADLINE_S)


async def _read_errors(vmm: Process) -> str:
    assert vmm.stderr
    return f"QEMU ended: {(await vmm.stderr.read()).decode('utf-8', 'replace')}"


@contextlib.asynccontextmanager
async def _open_machine(config: MachineConfig) -> AsyncIterator[Process]:
    """QEMU with the product's machine, but for the carrier, for a block."""
    facts = await probe_qemu()
    with (
        listening_socket(config.control_socket) as control,
        console_files(config.console_input, config.console_log) as console,
    ):
        number = control.fileno()
        descriptors = Descriptors(control=number, agent=-1, network=None)
        argv = plan_argv(
            config, binary=facts.binary, version=facts.version, descriptors=descriptors
        )
        port = argv.index(SERIAL_DEVICE) - 1
        argv[port : port + SERIAL_WORDS] = ["-device", f"vhost-vsock-device,guest-cid={CID}"]
        assert "virtserialport" not in " ".join(argv), argv
        async with programs.piped(
            argv, stdin=console.stdin, stdout=console.stdout, pass_fds=(number,)
        ) as vmm:
            yield vmm


def _plan(image: str, directory: Path) -> MachineConfig:
    layout = layout_from_environment(os.environ)
    kernel = kernels.kernel_dir(layout, kernels.get_kernel(layout, KERNEL))
    return MachineConfig(
        vm_id=VmId("vsockguest01"),
        vcpu=1,
        memory_mib=256,
        accel=Accel.KVM,
        tsc_khz=None,
        shared=SharedFiles(
            bzimage=kernel / "bzimage",
            vmlinux=kernel / "vmlinux",
            initramfs=kernel / "initramfs",
            root=images.image_root(layout, images.get_image(layout, image)),
            modules=None,
        ),
        data=directory / "data.img",
        mac=None,
        console_log=directory / "console.log",
        vmm_log=directory / "vmm.log",
        saving=directory / "saving",
        agent_socket=directory / "agent.sock",
        control_socket=directory / "qmp.sock",
        console_input=directory / "console.in",
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
