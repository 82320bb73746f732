"""E5: what is left to a guest that has taken over its VMM, tried from inside.

A program of ours is started in the place of each driver's VMM, with the arguments, descriptors and
jail that it has, but without its own filter of system calls: the jail has to hold alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from banger.host.attachments import Tap
from banger.host.identity import is_alive
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.firecracker import names
from banger.vmm.firecracker.probe import FirecrackerFacts
from banger.vmm.firecracker.process import start as start_firecracker
from banger.vmm.firecracker.view import KVM
from banger.vmm.jail import DEVICES, WITH_PARENT, JailFacts
from banger.vmm.probe import probe_jail
from banger.vmm.process import gone
from banger.vmm.qemu.probe import QemuFacts
from banger.vmm.qemu.process import start as start_qemu
from banger.vmm.tap import DEVICE as TUN
from tests.component.vmm.machines import make_layout, make_machine

DEADLINE_S = 60.0
PYTHON = Path(sys.executable).resolve()
SECRET = "a secret of the host"


class World(NamedTuple):
    """What a VMM that was taken over would like to reach."""

    victim: subprocess.Popen[bytes]
    tcp: list[tuple[str, int]]
    unix: list[str]
    secrets: list[str]


Start = Callable[[MachineConfig, Path, JailFacts], Awaitable[VmmHandle]]


@dataclass(frozen=True)
class Kind:
    """A driver's VMM: how a program takes its place, and what it has there."""

    start: Start
    descriptors: str
    """The kinds of all, sorted, as `ls` names them."""
    devices: tuple[str, ...] = ()
    has_directory: bool = False
    is_networked: bool = False


async def start_as_qemu(config: MachineConfig, program: Path, jail: JailFacts) -> VmmHandle:
    facts = QemuFacts(binary=str(program), version=(7, 2, 0), jail=jail, jail_reason="")
    return await start_qemu(config, facts=facts, network=None)


async def start_as_firecracker(config: MachineConfig, program: Path, jail: JailFacts) -> VmmHandle:
    facts = FirecrackerFacts(binary=str(program), version=(1, 12, 1), jail=jail, jail_reason="")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        network = None if config.mac is None else Tap(theirs)
        return await start_firecracker(config, facts=facts, network=network)


# Two logs, what is typed; QEMU also has two sockets, and whoever has a TAP one.
QEMU = Kind(start_as_qemu, "--pss")
FIRECRACKER = Kind(start_as_firecracker, "--p", devices=(KVM,), has_directory=True)
ON_A_TAP = replace(FIRECRACKER, descriptors="--ps", devices=(KVM, TUN), is_networked=True)
KINDS = {"qemu": QEMU, "firecracker": FIRECRACKER, "firecracker-tap": ON_A_TAP}


@pytest.fixture(params=["qemu"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """What the program is started as; each in turn where a test asks for it."""
    kind = KINDS[request.param]
    if any(not Path(device).exists() for device in kind.devices):
        pytest.skip(f"this host lacks one of {kind.devices}")
    if kind.is_networked and not os.access(TUN, os.R_OK | os.W_OK):
        pytest.skip(f"this host keeps {TUN} from users")
    return kind


@pytest.fixture(scope="module")
def jail() -> JailFacts:
    """This host's jail, with the Python that runs in it."""
    facts, reason = asyncio.run(probe_jail([str(PYTHON), "--version"]))
    if facts is None:
        pytest.skip(reason)
    return replace(facts, shown=(*facts.shown, *find_libraries(facts)))


def find_libraries(facts: JailFacts) -> list[str]:
    """Return where the Python has its modules, if that is in no directory that is shown."""
    prefix = str(Path(sys.base_prefix).resolve())
    return [] if any(Path(prefix).is_relative_to(top) for top in facts.shown) else [prefix]


@pytest.fixture
def config(short_dir: Path, kind: Kind) -> MachineConfig:
    mac = "02:00:00:00:00:01" if kind.is_networked else None
    return make_machine(make_layout(short_dir), mac=mac)


@pytest.fixture
def world(short_dir: Path) -> Iterator[World]:
    """A process of the same user, servers of every kind, and files at usual places."""
    secret, path = short_dir / "secret", str(short_dir / "s.sock")
    secret.write_text(SECRET)
    name = f"@banger-test-{os.getpid()}"
    with (
        socket.create_server(("0.0.0.0", 0)) as tcp,
        listening_unix(path),
        listening_unix(name.replace("@", "\0")),
        subprocess.Popen(["sleep", "600"]) as victim,
    ):
        port = tcp.getsockname()[1]
        ends = [("127.0.0.1", port), (own_address(), port)]
        places = [
            secret,
            Path.home(),
            "/proc",
            "/sys",
            "/run",
            "/etc/passwd",
            "/dev/kvm",
            "/dev/shm",
        ]
        yield World(victim, ends, [path, name], [str(place) for place in places])
        victim.kill()


@contextlib.contextmanager
def listening_unix(name: str) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        yield


def own_address() -> str:
    """Return the host's address towards the world (nothing is sent)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))
        return str(probe.getsockname()[0])


def take_over(kind: Kind, config: MachineConfig, jail: JailFacts, world: World) -> dict[str, Any]:
    """Run the program in the VMM's place; return what it found once all of it has ended."""
    program = install(config)
    jail = replace(jail, shown=(*jail.shown, str(program)))
    order = {
        "pids": [os.getpid(), world.victim.pid],
        "tcp": world.tcp,
        "unix": world.unix,
        "hidden": world.secrets,
        "system": [*jail.shown, *(name for _, name in jail.links)],
    }
    with open(config.data, "r+b") as disk:
        disk.write(json.dumps(order).encode())
    handle, status = asyncio.run(run(kind.start(config, program, jail)))
    said = config.vmm_log.read_text()
    assert status == 0, said
    assert handle.monitor is not None
    assert not is_alive(handle.monitor)
    found: dict[str, Any] = json.loads(config.console_log.read_text())
    return found


def install(config: MachineConfig) -> Path:
    """Put the program where a driver would find its VMM."""
    program = config.shared.bzimage.parent / "taken-over"
    body = Path(__file__).with_name("taken_over.py").read_text()
    program.write_text(f"#!{PYTHON} -ISB\n{body}")
    program.chmod(0o755)
    return program


async def run(starting: Awaitable[VmmHandle]) -> tuple[VmmHandle, int | None]:
    async with asyncio.timeout(DEADLINE_S):
        handle = await starting
        return handle, await gone(handle)


def own_files(kind: Kind, config: MachineConfig) -> tuple[set[str], set[str]]:
    """Return the paths that a VMM sees besides devices, and those that it may write to."""
    kernel, disk = str(config.shared.bzimage), str(config.data)
    if not kind.has_directory:
        return {kernel, disk}, {disk}
    folder = config.control_socket.parent
    inside = {str(folder / name) for name in (names.DATA, names.CONFIGURATION)}
    writable = {disk, str(config.vmm_log), str(config.console_input), *inside}
    return {kernel, str(folder / names.ROOT), *writable}, {str(folder), *writable}


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_a_vmm_that_was_taken_over_reaches_nothing_of_its_host(
    kind: Kind, config: MachineConfig, jail: JailFacts, world: World
) -> None:
    """E5, E4, G6: no process, file, address, socket, variable or privilege but its own."""
    found = take_over(kind, config, jail, world)
    assert found["pid"] == 1
    assert set(found["processes"].values()) == {"ESRCH"}, found["processes"]
    assert world.victim.poll() is None
    assert set(found["network"].values()) <= {"ENETUNREACH", "ECONNREFUSED", "ENOENT"}, found
    hidden = {error for path, error in found["hidden"].items() if path not in kind.devices}
    assert hidden == {"ENOENT"}, found["hidden"]
    files, writable = own_files(kind, config)
    assert set(found["files"]) == {*DEVICES, *kind.devices, WITH_PARENT, *files}
    # Whether it may open its other devices is the host's matter.
    assert set(found["writable"]) - set(kind.devices) == {*DEVICES, *writable}
    assert "".join(sorted(found["descriptors"].values())) == kind.descriptors
    assert found["environment"] == []
    assert found["no new privileges"] == 1
    privileges = found["privileges"]
    assert privileges.pop("tap") == ("EPERM" if kind.is_networked else "ENOENT")
    assert (privileges.pop("user namespace") != "done") == jail.is_sealed
    assert set(privileges.values()) <= {"EPERM", "EINVAL", "EROFS", "EACCES"}, privileges


def test_what_a_vmm_has_started_ends_with_it(
    kind: Kind, config: MachineConfig, jail: JailFacts, world: World
) -> None:
    """E5, B3: a process that means to stay has ended before the VMM counts as gone."""
    take_over(kind, config, jail, world)
    with open(config.data, "rb") as disk:
        fcntl.flock(disk, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_host_that_lets_nobody_forbid_user_namespaces_has_a_jail_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """E5: containers with a closed /proc/sys, and bubblewraps before 0.8."""
    bwrap = shutil.which("bwrap")
    assert bwrap
    refuses = '#!/bin/sh\ncase " $* " in *" --disable-userns "*) exit 1;; esac\nexec '
    (tmp_path / "bwrap").write_text(f'{refuses}{bwrap} "$@"\n')
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    facts, reason = asyncio.run(probe_jail([str(PYTHON), "--version"]))
    assert facts is not None, reason
    assert not facts.is_sealed
