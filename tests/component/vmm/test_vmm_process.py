"""A VMM as a process: started, found again, ended. The same for every driver.

QEMU is the real one in its real jail; Firecracker is the stand-in, whose interpreter no jail shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from banger.errors import HostNotReady, VmmFailed
from banger.host import programs
from banger.host.identity import is_alive, send_signal
from banger.layout import Layout
from banger.vmm import conversation
from banger.vmm.conversation import find_end
from banger.vmm.driver import Driver, MachineConfig, VmmHandle
from banger.vmm.leftovers import end_leftover
from tests.component.vmm.machines import CRASHES, make_layout, make_machine
from tests.support.drivers import DRIVERS
from tests.support.firecracker.ending import wait_ended
from tests.support.leftovers import find_leftovers

DEADLINE_S = 60.0


@pytest.fixture
def layout(short_dir: Path) -> Layout:
    return make_layout(short_dir)


@pytest.fixture
def config(layout: Layout) -> MachineConfig:
    return make_machine(layout)


@pytest.fixture(params=DRIVERS)
def word(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def driver(word: str, short_dir: Path) -> Iterator[Any]:
    yield asyncio.run(DRIVERS[word](short_dir))
    wait_ended(short_dir)


@contextlib.asynccontextmanager
async def running(driver: Driver, config: MachineConfig) -> AsyncIterator[VmmHandle]:
    """A VMM that answers, ended on leaving; the whole within a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        handle = await driver.spawn(config, network=None)
        try:
            await driver.wait_ready(handle, deadline_s=DEADLINE_S)
            yield handle
        finally:
            await driver.kill(handle)


def processes_of(handle: VmmHandle) -> list[Any]:
    return [identity for identity in (handle.process, handle.monitor) if identity]


async def read_console(config: MachineConfig) -> bytes:
    """Return the console's log once something is in it."""
    async with asyncio.timeout(DEADLINE_S):
        while not (said := config.console_log.read_bytes()):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.01)
    return said


def test_a_machine_starts_and_is_asked_to_end(
    driver: Driver, config: MachineConfig, layout: Layout
) -> None:
    async def scenario() -> None:
        async with running(driver, config) as handle:
            assert await read_console(config) == b"B"
            assert await driver.adopt(handle, deadline_s=DEADLINE_S)
            assert await driver.quit(handle, deadline_s=DEADLINE_S)
            assert not any(map(is_alive, processes_of(handle)))
            assert not await driver.adopt(handle, deadline_s=DEADLINE_S)
            assert find_leftovers(layout, []) == []
            assert await driver.quit(handle, deadline_s=1), "gone already is fine"

    asyncio.run(scenario())


def test_its_sockets_are_nobody_elses(driver: Driver, config: MachineConfig) -> None:
    """G1: also where the VMM makes them itself, nobody else can come near them."""

    async def scenario() -> None:
        old = os.umask(0)
        try:
            async with running(driver, config):
                for path in (config.control_socket, config.agent_socket):
                    assert path.is_socket()
                    assert path.parent.stat().st_mode & 0o777 == 0o700
        finally:
            os.umask(old)

    asyncio.run(scenario())


def test_a_socket_path_that_is_too_long_is_refused(
    driver: Driver, config: MachineConfig, layout: Layout
) -> None:
    async def scenario() -> None:
        long = dataclasses.replace(config, agent_socket=layout.runtime / ("x" * 100) / "a.sock")
        with pytest.raises(HostNotReady, match="too long"):
            await driver.spawn(long, network=None)
        assert find_leftovers(layout, []) == []

    asyncio.run(scenario())


def test_an_early_death_is_told_at_once_with_the_reason(
    driver: Driver, config: MachineConfig
) -> None:
    for kernel in (config.shared.bzimage, config.shared.vmlinux):
        kernel.write_bytes(b"no kernel")

    async def scenario() -> None:
        async with asyncio.timeout(DEADLINE_S):
            handle = await driver.spawn(config, network=None)
            with pytest.raises(VmmFailed, match=r"ended with status \d+: ") as caught:
                await driver.wait_ready(handle, deadline_s=1000)
            assert "kernel" in (caught.value.details or "")
            await driver.wait_gone(handle)

    asyncio.run(scenario())


def test_the_vmm_outlives_its_daemon_and_the_next_one_adopts_it(
    word: str, driver: Driver, short_dir: Path
) -> None:
    """B1, B11: SIGKILL of the daemon and of its whole process group, then SIGHUP and SIGINT."""
    script = Path(__file__).with_name("start_and_die.py")

    async def scenario() -> None:
        async with programs.piped(
            [sys.executable, str(script), word, str(short_dir)],
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
        assert await driver.adopt(handle, deadline_s=DEADLINE_S)
        assert find_leftovers(make_layout(short_dir), processes_of(handle)) == []
        waiter = asyncio.create_task(driver.wait_gone(handle))
        assert await driver.quit(handle, deadline_s=DEADLINE_S)
        async with asyncio.timeout(DEADLINE_S):
            await waiter

    asyncio.run(scenario())


def test_only_the_very_process_is_known_and_hit(driver: Driver, config: MachineConfig) -> None:
    """B2, B10: another start time, boot or program is another process."""

    async def scenario() -> None:
        async with running(driver, config) as handle:
            process = handle.process
            for other in (
                dataclasses.replace(process, start_ticks=process.start_ticks + 1),
                dataclasses.replace(process, boot_id="another boot"),
            ):
                stale = msgspec.structs.replace(handle, process=other, monitor=None)
                assert not await driver.adopt(stale, deadline_s=DEADLINE_S)
                await driver.kill(stale)
                assert await driver.quit(stale, deadline_s=DEADLINE_S), "it is gone"
            renamed = msgspec.structs.replace(handle, program="sleep")
            assert not await driver.adopt(renamed, deadline_s=DEADLINE_S)
            assert await driver.adopt(handle, deadline_s=DEADLINE_S)

    asyncio.run(scenario())


def test_a_hung_vmm_is_killed(driver: Driver, config: MachineConfig) -> None:
    """A2: one that does not react is gone all the same, and its jail with it."""

    async def scenario() -> None:
        async with running(driver, config) as handle:
            send_signal(handle.process, signal.SIGSTOP)
            assert not await driver.adopt(handle, deadline_s=0.2)
            await driver.kill(handle)
            assert not any(map(is_alive, processes_of(handle)))

    asyncio.run(scenario())


def test_a_guest_that_crashes_ends_its_vmm_and_wakes_the_waiter(
    driver: Driver, layout: Layout
) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(DEADLINE_S):
            handle = await driver.spawn(make_machine(layout, CRASHES), network=None)
            await driver.wait_gone(handle)

    asyncio.run(scenario())


def test_a_paused_machine_goes_on(driver: Driver, config: MachineConfig) -> None:
    """Pausing and resuming are fine twice; one that is paused has not come up."""

    async def scenario() -> None:
        async with running(driver, config) as handle:
            for _ in range(2):
                await driver.pause(handle, deadline_s=DEADLINE_S)
            with pytest.raises(VmmFailed, match="not running"):
                await driver.wait_ready(handle, deadline_s=DEADLINE_S)
            for _ in range(2):
                await driver.resume(handle, deadline_s=DEADLINE_S)
            await driver.wait_ready(handle, deadline_s=DEADLINE_S)

    asyncio.run(scenario())


def test_a_request_to_a_vmm_that_dies_fails_at_once(driver: Driver, config: MachineConfig) -> None:
    """H2: its death is told, whatever the deadline."""

    async def scenario() -> None:
        async with running(driver, config) as handle:
            send_signal(handle.process, signal.SIGSTOP)
            asked = asyncio.ensure_future(driver.pause(handle, deadline_s=1_000_000))
            await asyncio.sleep(0.01)
            send_signal(handle.process, signal.SIGKILL)
            with pytest.raises(VmmFailed, match="was killed"):
                await asked

    asyncio.run(scenario())


def test_a_lost_agent_is_told_by_how_its_vmm_has_ended(
    driver: Driver, config: MachineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H2: also one that has said nothing; one that runs is not said to have ended."""

    async def scenario() -> None:
        async with running(driver, config) as handle:
            with monkeypatch.context() as patch:
                patch.setattr(conversation, "END_S", 0.01)
                assert await find_end(handle) is None
            send_signal(handle.process, signal.SIGKILL)
            ended = await find_end(handle)
            assert isinstance(ended, VmmFailed)
            assert ended.message.startswith(f"The VMM of VM {handle.vm_id} was killed, by ")

    asyncio.run(scenario())


def empty_memory(path: Path, config: MachineConfig) -> Path:
    """A file of the guest's size that holds nothing."""
    path.touch()
    os.truncate(path, config.memory_mib * 1024 * 1024)
    return path


def used_pages(memory: Path) -> dict[int, bytes]:
    """What a memory file holds, by the number of the page."""
    content = memory.read_bytes()
    pages = {start // 4096: content[start : start + 4096] for start in range(0, len(content), 4096)}
    return {number: page for number, page in pages.items() if any(page)}


def test_a_machine_is_saved_and_becomes_another(
    driver: Driver, config: MachineConfig, layout: Layout, short_dir: Path
) -> None:
    """D7, D8: a second save lacks nothing of the first; a clone leaves its origin alone."""

    async def save(handle: VmmHandle, name: str, memory: Path) -> Path:
        await driver.pause(handle, deadline_s=DEADLINE_S)
        state = short_dir / f"state-{name}"
        await driver.save(handle, state=state, memory=memory, deadline_s=DEADLINE_S)
        return memory

    async def scenario() -> None:
        async with running(driver, config) as handle:
            assert await read_console(config) == b"B"
            first = await save(handle, "1", empty_memory(short_dir / "1", config))
            await driver.resume(handle, deadline_s=DEADLINE_S)
            origin = await save(handle, "2", empty_memory(short_dir / "2", config))
        pages = used_pages(origin)
        assert pages.items() >= used_pages(first).items() != set()
        clone = dataclasses.replace(make_machine(layout), memory=origin)
        async with asyncio.timeout(DEADLINE_S):
            handle = await driver.spawn(clone, network=None)
            try:
                await driver.restore(handle, short_dir / "state-2", deadline_s=DEADLINE_S)
                await driver.wait_ready(handle, deadline_s=DEADLINE_S)
                again = await save(handle, "3", Path(shutil.copy(origin, short_dir / "3")))
            finally:
                await driver.kill(handle)
        assert used_pages(origin) == pages
        changed = set(pages.items()) ^ set(used_pages(again).items())
        assert len({number for number, _ in changed}) <= 1, "the stand-in's writes one"

    asyncio.run(scenario())


def test_a_state_that_is_none_is_refused(
    driver: Driver, config: MachineConfig, short_dir: Path
) -> None:
    """D3, D9: and the VMM is told from one that has come up."""
    state = short_dir / "state"
    state.write_bytes(b"no state")
    machine = dataclasses.replace(config, memory=empty_memory(short_dir / "memory", config))

    async def scenario() -> None:
        async with asyncio.timeout(DEADLINE_S):
            handle = await driver.spawn(machine, network=None)
            try:
                with pytest.raises(VmmFailed):
                    await driver.restore(handle, state, deadline_s=DEADLINE_S)
            finally:
                await driver.kill(handle)

    asyncio.run(scenario())


def test_a_cancelled_start_leaves_nothing(
    driver: Driver, config: MachineConfig, layout: Layout
) -> None:
    """B3: whatever was started when the request went away is ended."""

    async def scenario() -> None:
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


def test_leftovers_are_found_and_ended(
    driver: Driver, config: MachineConfig, short_dir: Path
) -> None:
    """B4, B5: a process without a record is found by its VM's directory, in its layout only."""

    async def scenario() -> None:
        layout = make_layout(short_dir)
        async with running(driver, config) as handle:
            recorded = processes_of(handle)
            assert find_leftovers(layout, recorded) == []
            assert find_leftovers(make_layout(short_dir / "other"), []) == []
            found = find_leftovers(layout, [])
            assert {leftover.process for leftover in found} == set(recorded)
            assert {leftover.vm_id for leftover in found} == {config.vm_id}
            async with reader_of(config.console_log):
                assert len(find_leftovers(layout, [])) == len(recorded), "a reader is nobody's"
            for leftover in found:
                await end_leftover(leftover)
            assert not await driver.adopt(handle, deadline_s=DEADLINE_S)
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
