"""QEMU as a process: started, found again, ended. Real QEMU, real jail."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import resource
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from banger.errors import HostNotReady, VmmFailed
from banger.host import programs
from banger.host.identity import is_alive, send_signal
from banger.host.limits import read_stack_bytes
from banger.layout import Layout
from banger.vmm.driver import MachineConfig, VmmHandle
from banger.vmm.leftovers import end_leftover
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.limits import plan_vmm_limits
from banger.vmm.qemu.probe import probe_qemu
from tests.component.vmm.machines import CRASHES, make_layout, make_machine
from tests.support.leftovers import find_leftovers

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


async def read_console(config: MachineConfig) -> bytes:
    """Return the console's log once something is in it."""
    async with asyncio.timeout(DEADLINE_S):
        while not (said := config.console_log.read_bytes()):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.01)
    return said


def test_a_machine_starts_and_is_asked_to_end(config: MachineConfig, layout: Layout) -> None:
    async def scenario() -> None:
        async with running(config) as (driver, handle):
            assert await read_console(config) == b"B"
            assert await driver.adopt(handle, deadline_s=10)
            assert await driver.quit(handle, deadline_s=30)
            assert not is_alive(handle.process)
            assert not await driver.adopt(handle, deadline_s=10)
            assert find_leftovers(layout, []) == []
            assert await driver.quit(handle, deadline_s=1), "gone already is fine"

    asyncio.run(scenario())


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


def test_a_socket_path_that_is_too_long_is_refused(config: MachineConfig, layout: Layout) -> None:
    async def scenario() -> None:
        driver = QemuDriver(await probe_qemu())
        long = dataclasses.replace(config, agent_socket=layout.runtime / ("x" * 100) / "a.sock")
        with pytest.raises(HostNotReady, match="too long"):
            await driver.spawn(long, network=None)
        assert find_leftovers(layout, []) == []

    asyncio.run(scenario())


def test_an_early_death_is_told_at_once_with_the_reason(config: MachineConfig) -> None:
    config.shared.bzimage.write_bytes(b"no kernel")

    async def scenario() -> None:
        driver = QemuDriver(await probe_qemu())
        async with asyncio.timeout(DEADLINE_S):
            handle = await driver.spawn(config, network=None)
            with pytest.raises(VmmFailed, match="has ended: qemu") as caught:
                await driver.wait_ready(handle, deadline_s=1000)
            assert "kernel" in (caught.value.details or "")
            await driver.wait_gone(handle)

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


def test_the_vmm_outlives_its_daemon_and_the_next_one_adopts_it(short_dir: Path) -> None:
    """B1, B11: SIGKILL of the daemon and of its whole process group, then SIGHUP and SIGINT."""
    script = Path(__file__).with_name("start_and_die.py")

    async def scenario() -> None:
        async with programs.piped(
            [sys.executable, str(script), str(short_dir)],
            env={"PYTHONPATH": ":".join(sys.path)},
        ) as daemon:
            assert daemon.stdout is not None
            async with asyncio.timeout(DEADLINE_S):
                line = await daemon.stdout.readline()
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(daemon.pid, number)
            await daemon.wait()
        handle = msgspec.json.decode(line, type=VmmHandle)
        driver = QemuDriver(await probe_qemu())
        assert await driver.adopt(handle, deadline_s=10)
        known = [identity for identity in (handle.process, handle.monitor) if identity]
        assert find_leftovers(make_layout(short_dir), known) == []
        waiter = asyncio.create_task(driver.wait_gone(handle))
        assert await driver.quit(handle, deadline_s=30)
        async with asyncio.timeout(DEADLINE_S):
            await waiter

    asyncio.run(scenario())


def test_only_the_very_process_is_known_and_hit(config: MachineConfig) -> None:
    """B2, B10: another start time, boot or program is another process."""

    async def scenario() -> None:
        async with running(config) as (driver, handle):
            process = handle.process
            for other in (
                dataclasses.replace(process, start_ticks=process.start_ticks + 1),
                dataclasses.replace(process, boot_id="another boot"),
            ):
                stale = msgspec.structs.replace(handle, process=other, monitor=None)
                assert not await driver.adopt(stale, deadline_s=10)
                await driver.kill(stale)
                assert await driver.quit(stale, deadline_s=10), "it is gone"
            renamed = msgspec.structs.replace(handle, program="sleep")
            assert not await driver.adopt(renamed, deadline_s=10)
            assert await driver.adopt(handle, deadline_s=10)

    asyncio.run(scenario())


def test_a_hung_vmm_is_killed(config: MachineConfig) -> None:
    """A2: one that does not react has its time, then it is gone."""

    async def scenario() -> None:
        async with running(config) as (driver, handle):
            send_signal(handle.process, signal.SIGSTOP)
            assert not await driver.quit(handle, deadline_s=0.2)
            assert not await driver.adopt(handle, deadline_s=0.2)
            await driver.kill(handle)
            assert not is_alive(handle.process)
            assert handle.monitor is None or not is_alive(handle.monitor)

    asyncio.run(scenario())


def test_a_guest_that_crashes_ends_its_vmm_and_wakes_the_waiter(layout: Layout) -> None:
    async def scenario() -> None:
        driver = QemuDriver(await probe_qemu())
        async with asyncio.timeout(DEADLINE_S):
            handle = await driver.spawn(make_machine(layout, CRASHES), network=None)
            await driver.wait_gone(handle)

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


def test_a_cancelled_start_leaves_nothing(config: MachineConfig, layout: Layout) -> None:
    """B3: whatever was started when the request went away is ended."""

    async def scenario() -> None:
        driver = QemuDriver(await probe_qemu())
        task = asyncio.create_task(driver.spawn(config, network=None))
        while not find_leftovers(layout, []) and not task.done():  # noqa: ASYNC110 - /proc
            await asyncio.sleep(0)
        task.cancel()
        try:
            handle = await task
        except asyncio.CancelledError:
            handle = None
        if handle is not None:
            await driver.kill(handle)
        # A killed jail's child takes a moment to be gone, and nobody's handle names it.
        async with asyncio.timeout(DEADLINE_S):
            while find_leftovers(layout, []):  # noqa: ASYNC110 - /proc has no event
                await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_leftovers_are_found_and_ended(config: MachineConfig, short_dir: Path) -> None:
    """B4, B5: a process without a record is found by its VM's directory, in its layout only."""

    async def scenario() -> None:
        layout = make_layout(short_dir)
        async with running(config) as (driver, handle):
            recorded = [identity for identity in (handle.process, handle.monitor) if identity]
            assert find_leftovers(layout, recorded) == []
            assert find_leftovers(make_layout(short_dir / "other"), []) == []
            found = find_leftovers(layout, [])
            assert {leftover.process for leftover in found} == set(recorded)
            assert {leftover.vm_id for leftover in found} == {config.vm_id}
            async with reader_of(config.console_log):
                assert len(find_leftovers(layout, [])) == len(recorded), "a reader is nobody's"
            for leftover in found:
                await end_leftover(leftover)
            assert not await driver.adopt(handle, deadline_s=10)
            assert find_leftovers(layout, []) == []

    asyncio.run(scenario())


@contextlib.asynccontextmanager
async def reader_of(log_file: Path) -> AsyncIterator[None]:
    """A user's own program with our file among its arguments."""
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    async with programs.piped([sys.executable, "-c", code, str(log_file)]) as process:
        assert process.stdout is not None
        await process.stdout.readline()
        yield
