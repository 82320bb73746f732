"""The emulated host: a machine of banger's own making whose CPU has AMD's SVM.

Its arguments are the product's, with another CPU; the guest's agent is the way in. Owns one
QEMU process and the files in the directory that it is given. QEMU is ended on leaving,
whatever happened; if this program is killed it lives on, with that directory in its arguments.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from banger import guest
from banger.errors import BangerError, VmmFailed
from banger.host import programs
from banger.host.cpu import probe_cpu
from banger.host.identity import spawn_identified
from banger.model.names import VmId
from banger.model.vm import Accel
from banger.vmm.console import console_files
from banger.vmm.driver import MachineConfig, SharedFiles, VmmHandle
from banger.vmm.qemu.argv import Descriptors, plan_argv
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.probe import QemuFacts, probe_qemu
from banger.vmm.sockets import connect_agent_socket, listening_socket
from tests.kvm.supplies import UID, Supplies
from tests.kvm.wheels import PYTHON

SHADOWED_BELOW = (8, 0, 0)
"""QEMUs whose SVM runs guests without nested paging, and less well with it (ADR 0030)."""
MEMORY_MIB = 3072
DISK_MIB = 16 * 1024
DEADLINE_S = 240.0
"""For one command inside: a busy machine may be ten times slower."""

SET_UP_S = 240.0
"""From the start of QEMU; two and a half times what it took at a load of 12 on two processors."""

ANSWER_DEADLINE_S = 30.0
"""For one that does nothing. A host whose kernel stands still never answers."""

USER = "someone"
STRANGER = "stranger"
"""Like USER, but not in the group that may use KVM."""
HOME = f"/home/{USER}"
ADDRESS, GATEWAY = "192.0.2.15", "192.0.2.1"
"""Of the emulated host (RFC 5737); its interface leads nowhere."""
AGENT_SOCKET = "agent.sock"
INSIDE = "/usr/local/lib/checks"
"""The programs that checks run."""
SITE = f"/usr/local/lib/python{PYTHON}/dist-packages"

SET_UP = f"""\
set -eu
until systemctl is-system-running --wait | grep -E 'running|degraded'; do sleep 0.2; done
printf '127.0.0.1 localhost emulated-host\\n' >/etc/hosts
groupadd --force --system kvm
chgrp kvm /dev/kvm /dev/vhost-vsock
chmod 660 /dev/kvm /dev/vhost-vsock
chmod 666 /dev/net/tun
for name in {USER} {STRANGER}; do useradd --create-home --shell /bin/bash $name; done
usermod --append --groups kvm {USER}
loginctl enable-linger {USER}
until test -S /run/user/$(id -u {USER})/systemd/private; do sleep 0.1; done
install -d -m 700 -o {STRANGER} -g {STRANGER} /run/user/$(id -u {STRANGER})
find {INSIDE} -name 'firecracker*' -exec install -m 755 -t /usr/local/bin {{}} +
cat >/usr/local/bin/banger <<'END'
#!/usr/bin/python3
import sys
from banger.cli.app.main import main
sys.exit(main())
END
chmod 755 /usr/local/bin/banger
python3 -m compileall -q {SITE} || :
serial=$(grep -lx artifacts /sys/block/*/serial)
mkdir /artifacts
mount -t squashfs -o ro "/dev/$(basename "${{serial%/serial}}")" /artifacts
su {USER} -c 'mkdir -p -m 700 ~/.local/share/banger && ln -s /artifacts/* ~/.local/share/banger'
"""


@dataclass(frozen=True)
class Ended:
    """How a command inside ended."""

    line: str
    status: int
    out: str
    err: str

    def expect(self, status: int = 0) -> Ended:
        """Return self; fail with everything that it said if it ended otherwise."""
        said = f"status {self.status}, not {status}\n{self.out}{self.err}"
        assert self.status == status, f"$ {self.line}\n{said}"
        return self


@dataclass(frozen=True)
class Host:
    """The emulated host from the inside: commands as root or as its ordinary user."""

    connection: guest.GuestConnection
    guest_image: str
    variables: Mapping[str, str] = field(default_factory=lambda: {"BANGER_DRIVER": "qemu"})
    """Of the environment of all commands; checks of another driver name it."""

    async def root(self, script: str) -> Ended:
        """Run a shell script as root."""
        return await self._run(["sh", "-c", script], user=None)

    async def shell(self, script: str, *, user: str = USER) -> Ended:
        """Run a shell script as the ordinary user."""
        return await self._run(["sh", "-c", script], user=user)

    async def banger(self, *words: str, user: str = USER) -> Ended:
        """Run banger as the ordinary user."""
        return await self._run(["banger", *words], user=user)

    async def answers(self) -> bool:
        """Tell whether it still runs programs at all."""
        try:
            await guest.run(self.connection, [b"true"], deadline_s=ANSWER_DEADLINE_S)
        except BangerError:
            return False
        return True

    async def copy_in(self, path: str, source: Path) -> None:
        """Put the content of a directory at `path`; it becomes root's."""
        with _packed(source) as file:
            await guest.tar_in(
                self.connection,
                path.encode(),
                _chunks(file),
                deadline_s=DEADLINE_S,
                owner=(0, 0),
            )

    async def _run(self, argv: Sequence[str], *, user: str | None) -> Ended:
        uid = {None: 0, USER: UID, STRANGER: UID + 1}[user]
        environment = {"XDG_RUNTIME_DIR": f"/run/user/{uid}", "PYTHONSAFEPATH": "1"}
        environment |= self.variables
        done = await guest.run(
            self.connection,
            [word.encode() for word in argv],
            user=user,
            env=[(name.encode(), value.encode()) for name, value in environment.items()],
            deadline_s=DEADLINE_S,
        )
        parts = (done.untrusted_stdout, done.untrusted_stderr)
        out, err = (part.decode("utf-8", "replace") for part in parts)
        return Ended(shlex.join(argv), done.status, out, err)


@contextlib.asynccontextmanager
async def open_host(supplies: Supplies, directory: Path) -> AsyncIterator[Host]:
    """Boot the emulated host with banger installed and its user's artefacts in place."""
    config = _plan(supplies, directory)
    await _make_disk(config.data)
    driver = QemuDriver(await probe_qemu(supplies.qemu))
    handle = _spawn(config, driver.facts, artifacts=supplies.artifacts)
    try:
        await driver.wait_ready(handle, deadline_s=SET_UP_S)
        async with connect(directory, guest_image=supplies.guest_image) as host:
            try:
                await asyncio.wait_for(_set_up(host, supplies), SET_UP_S)
            except TimeoutError as error:
                raise AssertionError("It was not set up in time.") from error
            yield host
    finally:
        await asyncio.shield(driver.kill(handle))


async def _set_up(host: Host, supplies: Supplies) -> None:
    await guest.boot(host.connection, _boot_spec(), deadline_s=SET_UP_S)
    await host.copy_in(SITE, supplies.site)
    await host.copy_in(INSIDE, supplies.inside)
    (await host.root(SET_UP)).expect()


@contextlib.asynccontextmanager
async def connect(directory: Path, *, guest_image: str) -> AsyncIterator[Host]:
    """Reach a host whose machine is in a directory; whoever reached it before is sent away."""
    sock = await connect_agent_socket(str(directory / AGENT_SOCKET), deadline_s=DEADLINE_S)
    connection = await guest.connect(sock, deadline_s=DEADLINE_S)
    try:
        yield Host(connection, guest_image)
    finally:
        await connection.close()


def describe(directory: Path) -> list[tuple[str, str]]:
    """Return the ends of the machine's own logs, for a failure's report."""
    found = []
    for log in (directory / "console.log", directory / "vmm.log"):
        with contextlib.suppress(OSError):
            found.append((f"emulated host: {log.name}", log.read_text("utf-8", "replace")[-6000:]))
    return found


def _plan(supplies: Supplies, directory: Path) -> MachineConfig:
    return MachineConfig(
        vm_id=VmId("emulatedhost"),
        vcpu=1,
        memory_mib=MEMORY_MIB,
        accel=Accel.TCG,
        tsc_khz=probe_cpu().tsc_khz,
        shared=SharedFiles(
            bzimage=supplies.bzimage,
            vmlinux=supplies.bzimage,
            initramfs=supplies.initramfs,
            root=supplies.root,
            modules=None,
        ),
        data=directory / "data.img",
        mac=None,
        console_log=directory / "console.log",
        vmm_log=directory / "vmm.log",
        saving=directory / "saving",
        agent_socket=directory / AGENT_SOCKET,
        control_socket=directory / "qmp.sock",
        console_input=directory / "console.in",
    )


async def _make_disk(path: Path) -> None:
    options = ("-q", "-F", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=1,nodiscard")
    await programs.run(["mke2fs", *options, str(path), f"{DISK_MIB}M"], deadline_s=DEADLINE_S)


def _spawn(config: MachineConfig, facts: QemuFacts, *, artifacts: Path) -> VmmHandle:
    """Start QEMU: the product's machine, with SVM, a disk, and an interface that leads nowhere."""
    with (
        listening_socket(config.control_socket) as control,
        listening_socket(config.agent_socket) as agent,
        console_files(config.console_input, config.console_log) as console,
    ):
        numbers = (control.fileno(), agent.fileno())
        descriptors = Descriptors(control=numbers[0], agent=numbers[1], network=None)
        argv = plan_argv(
            config, binary=facts.binary, version=facts.version, descriptors=descriptors
        )
        argv[argv.index("-cpu") + 1] = f"max,+svm,{_choose_paging(facts.version)}"
        # Pages come and go under the inner guests' page tables often enough without it.
        balloon = next(i for i, word in enumerate(argv) if word.startswith("virtio-balloon"))
        del argv[balloon - 1 : balloon + 1]
        argv += ["-drive", f"if=none,id=artifacts,format=raw,readonly=on,file={artifacts}"]
        argv += ["-device", "virtio-blk-device,drive=artifacts,serial=artifacts"]
        argv += ["-device", "virtio-net-device"]
        process = spawn_identified(
            argv,
            log_file=config.vmm_log,
            stdin=console.stdin,
            stdout=console.stdout,
            pass_fds=numbers,
        )
    if process is None:
        raise VmmFailed("QEMU ended as soon as it was started.")
    return VmmHandle(
        driver=QemuDriver.name,
        vm_id=config.vm_id,
        process=process,
        program=os.path.basename(facts.binary)[:15],
        control_socket=str(config.control_socket),
        agent_socket=str(config.agent_socket),
        vmm_log=str(config.vmm_log),
    )


def _choose_paging(version: tuple[int, int, int]) -> str:
    return "-npt" if version < SHADOWED_BELOW else "+npt"


def _boot_spec() -> guest.BootSpec:
    identity = guest.Identity(
        hostname="emulated-host",
        clock_ns=time.time_ns(),
        entropy=os.urandom(64),
        # A host without a way out gives its guests none.
        interface=guest.Interface(address=ADDRESS, prefix=24, gateway=GATEWAY),
    )
    return guest.BootSpec(
        root="serial:root",
        data="serial:data",
        init=b"/sbin/init",
        native=(b"/home",),
        identity=identity,
    )


@contextlib.contextmanager
def _packed(source: Path) -> Iterator[IO[bytes]]:
    """A tar of a directory's content in a file without a name, at its start."""
    with tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(source, ".")
        file.seek(0)
        yield file


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := file.read(256 * 1024):
        yield chunk


async def read_inner_logs(host: Host) -> list[tuple[str, str]]:
    """Return the ends of banger's logs inside, and the kernel's last words."""
    logs = f"find {HOME}/.local/state -name '*.log' -exec tail -v -c 4000 {{}} +"
    script = f"{logs}; dmesg | tail -n 20"
    try:
        ended = await host.root(script)
    except BangerError as error:
        return [("inside", f"cannot be read: {error.message}")]
    return [("inside", f"{ended.out}{ended.err}"[-20000:])]
