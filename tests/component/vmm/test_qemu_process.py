"""QEMU as a process: started, found again, ended. Real QEMU, real jail."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import resource
import shutil
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from banger.errors import VmmFailed
from banger.host.identity import is_alive, send_signal
from banger.host.limits import read_stack_bytes
from banger.layout import Layout
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.limits import plan_vmm_limits
from banger.vmm.qemu.probe import probe_qemu
from tests.component.vmm.machines import make_layout, make_machine
from tests.support.installations import wait_for

DEADLINE_S = 60.0


@pytest.fixture
def layout(short_dir: Path) -> Layout:
    return make_layout(short_dir)


@pytest.fixture
def config(layout: Layout) -> MachineConfig:
    return make_machine(layout)


@contextlib.asynccontextmanager
async def running(
    config: MachineConfig, *, is_jailed: bool = True
) -> AsyncIterator[tuple[QemuDriver, VmmHandle]]:
    """A VMM that answers, ended on leaving; the whole within a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        facts = await probe_qemu()
        driver = QemuDriver(facts if is_jailed else dataclasses.replace(facts, jail=None))
        handle = await driver.spawn(config, network=None)
        try:
            await driver.wait_ready(handle, deadline_s=30)
            yield driver, handle
        finally:
            await driver.kill(handle)


def test_sockets_are_private_from_birth(config: MachineConfig) -> None:
    """G1: mode 0600 in a directory of mode 0700, bound before QEMU exists."""

    async def scenario() -> None:
        old = os.umask(0)
        try:
            driver = QemuDriver(await probe_qemu())
            handle = await driver.spawn(config, network=None)
        finally:
            os.umask(old)
        try:
            for path in (config.control_socket, config.agent_socket):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
                # Nobody waited for QEMU: a client is taken at once, and served when it is up.
                _, writer = await asyncio.open_unix_connection(path)
                writer.close()
                await writer.wait_closed()
            for log in (config.console_log, config.vmm_log):
                assert stat.S_IMODE(log.stat().st_mode) == 0o600
        finally:
            await driver.kill(handle)

    asyncio.run(scenario())


def test_the_jail_holds(config: MachineConfig) -> None:
    """E5: no privileges, no network, no home, only the VM's own files."""

    async def scenario() -> None:
        async with running(config) as (driver, handle):
            if driver.facts.jail is None:
                pytest.skip(driver.facts.jail_reason)
            process = Path(f"/proc/{handle.process.pid}")
            status = dict(
                line.split(":\t", 1) for line in (process / "status").read_text().splitlines()
            )
            assert status["NoNewPrivs"] == "1"
            assert status["Seccomp"] == "2"
            assert int(status["CapEff"], 16) == 0
            assert status["NSpid"].split()[-2:] == [str(handle.process.pid), "1"]
            interfaces = (process / "net/dev").read_text().splitlines()[2:]
            assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
            for kind in ("user", "net", "ipc", "uts", "mnt", "pid", "cgroup"):
                assert os.readlink(process / f"ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
            assert_sees_only_its_files(process / "root", config)

    asyncio.run(scenario())


@pytest.mark.parametrize("is_jailed", [True, False])
def test_an_emulated_guest_boots_the_uncompressed_kernel(
    config: MachineConfig, *, is_jailed: bool
) -> None:
    """Where it can be entered by PVH: QEMU would refuse the other file."""
    vmlinux = config.shared.bzimage.with_name("vmlinux")
    shutil.copy(config.shared.bzimage, vmlinux)
    config.shared.bzimage.write_bytes(b"no kernel")
    shared = dataclasses.replace(config.shared, vmlinux=vmlinux, has_pvh=True)

    async def scenario() -> None:
        machine = dataclasses.replace(config, shared=shared)
        async with running(machine, is_jailed=is_jailed):
            said = config.console_log.read_bytes
            await asyncio.to_thread(wait_for, lambda: said() == b"B", "the guest's word")

    asyncio.run(scenario())


@pytest.mark.parametrize("is_jailed", [True, False])
def test_the_vmm_is_held_to_limits(config: MachineConfig, *, is_jailed: bool) -> None:
    """E5, G6: on every host; the guest's memory fits, a core or another thousand files do not."""

    async def scenario() -> None:
        async with running(config, is_jailed=is_jailed) as (_, handle):
            limits = plan_vmm_limits(
                vcpu=config.vcpu,
                memory_mib=config.memory_mib,
                accel=config.accel,
                stack_bytes=read_stack_bytes(),
            )
            for number, limit in limits.items():
                assert resource.prlimit(handle.process.pid, number) == (limit, limit)

    asyncio.run(scenario())


def assert_sees_only_its_files(root: Path, config: MachineConfig) -> None:
    top = {entry.name for entry in root.iterdir()}
    assert not top & {"home", "root", "run", "proc", "sys", "var"}
    seen = root / config.vmm_log.parent.relative_to("/")
    assert [path.name for path in seen.iterdir()] == ["data.img"]
    assert not (root / config.control_socket.relative_to("/")).exists()
    assert not (root / Path(os.environ["HOME"]).relative_to("/")).exists()
    assert not (root / "dev/kvm").exists()
    shared = root / config.shared.bzimage.relative_to("/")
    assert os.statvfs(shared).f_flag & os.ST_RDONLY


def test_without_a_jail_the_vmm_is_still_without_privileges(config: MachineConfig) -> None:
    """E5: where bubblewrap does not work, QEMU's own filter remains."""

    async def scenario() -> None:
        facts = dataclasses.replace(await probe_qemu(), jail=None, jail_reason="test")
        driver = QemuDriver(facts)
        handle = await driver.spawn(config, network=None)
        try:
            await driver.wait_ready(handle, deadline_s=30)
            assert handle.monitor is None
            status = Path(f"/proc/{handle.process.pid}/status").read_text()
            assert "\nNoNewPrivs:\t1\n" in status
            assert "\nSeccomp:\t2\n" in status
            assert os.getsid(handle.process.pid) == handle.process.pid
        finally:
            await driver.kill(handle)
        assert not is_alive(handle.process)

    asyncio.run(scenario())


def test_a_vmm_ends_with_its_monitor(config: MachineConfig) -> None:
    """E5, B3: whoever kills the jail has killed what is in it, also without a daemon."""

    async def scenario() -> None:
        async with running(config) as (driver, handle):
            if handle.monitor is None:
                pytest.skip(driver.facts.jail_reason)
            send_signal(handle.monitor, signal.SIGKILL)
            await driver.wait_gone(handle)
            assert not is_alive(handle.process)

    asyncio.run(scenario())


def test_a_data_disk_has_one_vmm(config: MachineConfig) -> None:
    """A second one, started by mistake, does not touch the data of the first."""

    async def scenario() -> None:
        async with running(config) as (driver, _):
            second = dataclasses.replace(
                config,
                control_socket=config.control_socket.with_name("c2"),
                agent_socket=config.agent_socket.with_name("a2"),
            )
            handle = await driver.spawn(second, network=None)
            with pytest.raises(VmmFailed) as caught:
                await driver.wait_ready(handle, deadline_s=30)
            assert "lock" in (caught.value.details or "")

    asyncio.run(scenario())


def test_a_hung_qemu_is_not_waited_for_longer_than_asked(config: MachineConfig) -> None:
    """A2."""

    async def scenario() -> None:
        async with running(config) as (driver, handle):
            send_signal(handle.process, signal.SIGSTOP)
            assert not await driver.quit(handle, deadline_s=0.2)

    asyncio.run(scenario())
