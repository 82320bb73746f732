"""E5: what is left to a guest that has taken over its VMM, tried from inside.

A program of ours is started in the place of QEMU, with the arguments, descriptors and jail that
QEMU has, but without QEMU's own filter of system calls: the jail has to hold alone.
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
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from banger.host.identity import is_alive
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.jail import DEVICES, WITH_PARENT, JailFacts
from banger.vmm.probe import probe_jail
from banger.vmm.process import gone
from banger.vmm.qemu.probe import QemuFacts
from banger.vmm.qemu.process import start
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
def config(short_dir: Path) -> MachineConfig:
    return make_machine(make_layout(short_dir))


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


def take_over(config: MachineConfig, jail: JailFacts, world: World) -> dict[str, Any]:
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
    facts = QemuFacts(binary=str(program), version=(7, 2, 0), jail=jail, jail_reason="")
    handle, status = asyncio.run(run(config, facts))
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


async def run(config: MachineConfig, facts: QemuFacts) -> tuple[VmmHandle, int | None]:
    async with asyncio.timeout(DEADLINE_S):
        handle = await start(config, facts=facts, network=None)
        return handle, await gone(handle)


def test_a_vmm_that_was_taken_over_reaches_nothing_of_its_host(
    config: MachineConfig, jail: JailFacts, world: World
) -> None:
    """E5, E4, G6: no process, file, address, socket, variable or privilege but its own."""
    found = take_over(config, jail, world)
    assert found["pid"] == 1
    assert set(found["processes"].values()) == {"ESRCH"}, found["processes"]
    assert world.victim.poll() is None
    assert set(found["network"].values()) <= {"ENETUNREACH", "ECONNREFUSED", "ENOENT"}, found
    assert set(found["hidden"].values()) == {"ENOENT"}, found["hidden"]
    files = [config.data, config.shared.bzimage]
    assert found["files"] == sorted([*DEVICES, WITH_PARENT, *map(str, files)])
    assert found["writable"] == sorted([*DEVICES, str(config.data)])
    kinds = sorted(found["descriptors"].values())
    assert kinds == ["-", "-", "p", "s", "s"], "two logs, what is typed, two sockets"
    assert found["environment"] == []
    assert found["no new privileges"] == 1
    privileges = found["privileges"]
    assert (privileges.pop("user namespace") != "done") == jail.is_sealed
    assert set(privileges.values()) <= {"EPERM", "EINVAL", "EROFS", "EACCES"}, privileges


def test_what_a_vmm_has_started_ends_with_it(
    config: MachineConfig, jail: JailFacts, world: World
) -> None:
    """E5, B3: a process that means to stay has ended before the VMM counts as gone."""
    take_over(config, jail, world)
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
