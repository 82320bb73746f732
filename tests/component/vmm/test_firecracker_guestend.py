"""How a guest has ended, seen on its console."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from banger.host.identity import spawn_identified
from banger.model.names import VmId
from banger.vmm.driver import VmmHandle
from banger.vmm.firecracker import guestend
from banger.vmm.firecracker.driver import FirecrackerDriver
from banger.vmm.firecracker.guestend import wait_halted
from banger.vmm.firecracker.probe import FirecrackerFacts
from banger.vmm.firecracker.versions import OLDEST

DEADLINE_S = 60.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guestend, "POLL_S", 0.01)


@pytest.mark.parametrize("words", ["Power down", "System halted"])
def test_the_kernels_last_words_end_the_wait(tmp_path: Path, words: str) -> None:
    """H2: after any other words, in whatever pieces they come."""
    log = tmp_path / "console.log"

    async def scenario() -> None:
        waiting = asyncio.ensure_future(wait_halted(str(log)))
        for piece in ("reboot: Restarting\n", "x" * 1000, f"[ 9.1] reboot: {words[:5]}"):
            with log.open("a") as file:
                file.write(piece)
            assert not (await asyncio.wait({waiting}, timeout=0.1))[0]
        with log.open("a") as file:
            file.write(f"{words[5:]}\r\n")
        async with asyncio.timeout(DEADLINE_S):
            await waiting

    asyncio.run(scenario())


def test_a_guest_that_goes_on_has_not_halted(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text("reboot: Restarting system\nlogin: " + "x" * 200_000)

    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await wait_halted(str(log))

    asyncio.run(scenario())


@pytest.mark.parametrize("before", [0, 2**16 - 10, 2**20])
def test_a_guest_that_halted_while_nobody_looked(tmp_path: Path, before: int) -> None:
    """H2: the next daemon finds the words, wherever they are and whatever came after them."""
    log = tmp_path / "console.log"
    complaints = "EXT4-fs (vdb): I/O error\r\n" * 10_000
    log.write_text("x" * before + f"reboot: Power down\r\n{complaints}")

    async def scenario() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await wait_halted(str(log))

    asyncio.run(scenario())


def test_processes_that_live_on_may_complain(tmp_path: Path) -> None:
    """Their disks are gone: the kernel's words are not the last then."""
    log = tmp_path / "console.log"
    log.write_text("login: ")

    async def scenario() -> None:
        waiting = asyncio.ensure_future(wait_halted(str(log)))
        assert not (await asyncio.wait({waiting}, timeout=0.1))[0]
        with log.open("a") as file:
            file.write("reboot: Power down\r\nEXT4-fs (vdb): I/O error\r\n" + "x" * 1000)
        async with asyncio.timeout(DEADLINE_S):
            await waiting

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        ("[ 9.1] reboot: Restarting system\r\n", 1, 0),
        ("[ 9.1] Kernel panic - not syncing: sysrq triggered crash\r\n", 1, 0),
        ("[ 9.1] reboot: Restarting system\r\n", 3, 3),
        ("login: ", 1, 1),
    ],
)
def test_a_guests_reset_is_no_fault(tmp_path: Path, said: str, status: int, told: int) -> None:
    """H2: Firecracker ends with the status of a fault now and then."""
    log = tmp_path / "console.log"
    log.write_text(said)

    async def scenario() -> None:
        theirs, ours = os.pipe()
        argv = ["/bin/sh", "-c", f"read _; exit {status}"]
        process = spawn_identified(argv, log_file=tmp_path / "vmm.log", stdin=theirs)
        assert process is not None
        os.close(theirs)
        os.close(ours)  # it ends now
        handle = VmmHandle(
            driver="firecracker",
            vm_id=VmId("0123456789ab"),
            process=process,
            program="sh",
            control_socket="",
            agent_socket="",
            vmm_log=str(tmp_path / "vmm.log"),
            console_log=str(log),
        )
        async with asyncio.timeout(DEADLINE_S):
            facts = FirecrackerFacts(binary="sh", version=OLDEST, jail=None, jail_reason="")
            assert await FirecrackerDriver(facts).wait_gone(handle) == told

    asyncio.run(scenario())
