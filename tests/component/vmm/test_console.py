"""The serial console: real QEMU, guests of a few bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest

from banger.engine.upkeep import consoles
from banger.errors import VmmFailed
from banger.host.tails import CUT
from banger.vmm.console import Console, attach_console
from banger.vmm.driver import MachineConfig
from banger.vmm.qemu import qmp
from banger.vmm.qemu.driver import QemuDriver
from banger.vmm.qemu.probe import probe_qemu
from tests.component.vmm.machines import make_layout, make_machine

DEADLINE_S = 120.0
ECHOES = bytes.fromhex(
    "66bafd03"  # mov $0x3fd, %dx
    "ec"  #       in %dx, %al
    "a801"  #     test $1, %al
    "74f7"  #     jz the first instruction
    "66baf803"  # mov $0x3f8, %dx
    "ec"  #       in %dx, %al
    "ee"  #       out %al, %dx
    "ebef"  #     jmp the first instruction
)
COUNTS = bytes.fromhex(
    "30c0"  #     xor %al, %al
    "66baf803"  # mov $0x3f8, %dx
    "ee"  #       out %al, %dx
    "fec0"  #     inc %al
    "ebfb"  #     jmp back to out
)
FLOODS = bytes.fromhex(
    "66baf803"  # mov $0x3f8, %dx
    "b042"  #     mov $'B', %al
    "ee"  #       out %al, %dx
    "ebfd"  #     jmp back to out
)


def with_machine(
    short_dir: Path, code: bytes, work: Callable[[MachineConfig], Coroutine[object, object, None]]
) -> None:
    async def scenario() -> None:
        config = make_machine(make_layout(short_dir), code)
        driver = QemuDriver(await probe_qemu())
        async with asyncio.timeout(DEADLINE_S):
            handle = await driver.spawn(config, network=None)
            try:
                await driver.wait_ready(handle, deadline_s=30)
                await work(config)
            finally:
                await driver.kill(handle)

    asyncio.run(scenario())


def connect(config: MachineConfig) -> contextlib.AbstractAsyncContextManager[Console]:
    return attach_console(config.console_input, config.console_log, name="box")


async def expect(output: AsyncIterator[tuple[int, bytes]], text: bytes) -> None:
    said = b""
    while not said.endswith(text):
        said += (await anext(output))[1]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a file that somebody else writes
        await asyncio.sleep(0.01)


def test_what_is_typed_arrives_and_all_that_is_said_is_logged(short_dir: Path) -> None:
    """One client after the other."""

    async def work(config: MachineConfig) -> None:
        for text in (b"first", b"second"):
            async with connect(config) as session:
                output = session.output()
                await session.write(text)
                await expect(output, text)
                await session.write_eof()
                assert [data async for _, data in output] == []
        await until(lambda: config.console_log.read_bytes() == b"firstsecond")

    with_machine(short_dir, ECHOES, work)


def test_a_client_that_does_not_read_holds_nobody_up(short_dir: Path) -> None:
    """E2, A10: the guest goes on, and each byte is logged once and comes once."""
    more_than_a_pipe_holds = 100_000

    async def work(config: MachineConfig) -> None:
        async with connect(config) as session:
            begin = session.log.position
            await until(lambda: config.console_log.stat().st_size > more_than_a_pipe_holds)
            came = b""
            async for _, data in session.output():
                came += data
                if len(came) > more_than_a_pipe_holds:
                    break
            logged = config.console_log.read_bytes()
            assert came == logged[begin : begin + len(came)]
            # Each begins with the byte after the last one's.
            assert logged == (bytes(range(256)) * (len(logged) // 256 + 1))[: len(logged)]

    with_machine(short_dir, COUNTS, work)


def test_the_log_can_be_cut_while_it_is_written(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A10: QEMU appends, so nothing is written behind a hole."""
    monkeypatch.setattr(consoles, "CONSOLE_LIMIT_BYTES", 1000)
    monkeypatch.setattr(consoles, "CONSOLE_KEPT_BYTES", 10)

    async def work(config: MachineConfig) -> None:
        log = config.console_log
        await until(lambda: log.stat().st_size > 1000)
        consoles.shorten_log(log)
        size = log.stat().st_size
        await until(lambda: log.stat().st_size > size)
        assert log.read_bytes().startswith(CUT.partition("{")[0].encode())
        assert b"\0" not in log.read_bytes()

    with_machine(short_dir, FLOODS, work)


def test_the_end_of_the_machine_is_the_end_of_the_console(short_dir: Path) -> None:
    """H2: whoever waits for more is woken."""

    async def work(config: MachineConfig) -> None:
        async with connect(config) as session:
            waiting = asyncio.create_task(anext(session.output(), None))
            await qmp.ask_to_quit(str(config.control_socket), deadline_s=30)
            assert await waiting is None

    with_machine(short_dir, ECHOES, work)


def test_where_there_is_no_console_the_error_says_what_to_do(short_dir: Path) -> None:
    async def look() -> None:
        async with attach_console(short_dir / "none", short_dir / "log", name="box"):
            pass

    with pytest.raises(VmmFailed, match="console of box is not available") as caught:
        asyncio.run(look())
    assert caught.value.hint == "banger vm restart box"


def test_detaching_ends_the_output_of_a_guest_that_never_stops(short_dir: Path) -> None:
    """H2."""

    async def work(config: MachineConfig) -> None:
        async with connect(config) as session:
            came = 0
            async for _, data in session.output():
                if (came := came + len(data)) > 1000:
                    await session.write_eof()
            assert came > 1000

    with_machine(short_dir, FLOODS, work)
