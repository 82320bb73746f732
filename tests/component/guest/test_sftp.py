"""SFTP sessions through the host side, driven by OpenSSH's own client."""

from __future__ import annotations

import asyncio
import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from banger.errors import ExecBadDirectory, ExecNoSuchUser, GuestRefused, VmmFailed
from banger.guest import GuestConnection, open_sftp
from banger.guest.codec import FrameType, Kind
from tests.component.guest.scripted import Agent, frame, play, refusal
from tests.support.agent import agent_connection
from tests.support.artifacts import CHECKOUT

D = 20.0
OLD = 1_000_000_000
HELLO = bytes.fromhex("00000005 01 00000003")

Sftp = Callable[..., subprocess.CompletedProcess[str]]

needs_openssh = pytest.mark.skipif(shutil.which("sftp") is None, reason="sftp is not installed")


@pytest.fixture
def sftp(agent_binary: Path, tmp_path: Path) -> Sftp:
    """Run OpenSSH's client with a batch of commands, in the test's directory."""

    def run(*commands: str) -> subprocess.CompletedProcess[str]:
        server = [sys.executable, "-m", "tests.support.sftp_relay", str(agent_binary)]
        launch = tmp_path / "server"
        launch.write_text(f"#!/bin/sh\ncd {CHECKOUT} && exec {shlex.join(server)}\n")
        launch.chmod(0o755)
        return subprocess.run(
            ["sftp", "-b", "-", "-D", str(launch)],
            input="\n".join([f"cd {tmp_path}", f"lcd {tmp_path}", *commands, ""]),
            env={**os.environ, "PYTHONPATH": f"{CHECKOUT}/src:{CHECKOUT}", "TZ": "UTC"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def read_tree(top: Path) -> dict[str, tuple[int, bytes, int]]:
    """Return mode, content and time of each file below a directory."""
    found = {}
    for path in sorted(top.rglob("*")):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(top))] = (facts.st_mode, content, int(facts.st_mtime))
    return found


@needs_openssh
def test_files_and_trees_go_both_ways(sftp: Sftp, tmp_path: Path) -> None:
    """H7: with modes and times."""
    rng, tree = random.Random(1), tmp_path / "tree"
    (tree / "deep/er").mkdir(parents=True)
    (tree / "big").write_bytes(rng.randbytes(5_000_000))
    (tree / "empty").touch()
    (tree / "deep/er/a b").write_bytes(b"spaces")
    (tree / "deep/er/a b").chmod(0o750)
    for path in [*tree.rglob("*"), tree]:
        os.utime(path, (OLD, OLD))
    done = sftp("put -pR tree there", "get -pR there back")
    assert done.returncode == 0, done.stderr
    assert read_tree(tmp_path / "there") == read_tree(tree)
    assert read_tree(tmp_path / "back") == read_tree(tree)


@needs_openssh
def test_a_transfer_is_taken_up_where_it_ended(sftp: Sftp, tmp_path: Path) -> None:
    content = random.Random(2).randbytes(1_000_000)
    (tmp_path / "f").write_bytes(content)
    (tmp_path / "there").write_bytes(content[:300_000])
    (tmp_path / "back").write_bytes(content[:500_001])
    done = sftp("reput f there", "reget there back")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there").read_bytes() == content
    assert (tmp_path / "back").read_bytes() == content


@needs_openssh
def test_names_are_changed_and_listed(sftp: Sftp, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    os.utime(tmp_path / "f", (OLD, OLD))
    (tmp_path / "over").touch()
    done = sftp(
        "ln f twin",
        "ln -s f link",
        "mkdir made",
        "chmod 640 f",
        "rename twin over",
        "rmdir made",
        "ls -ln f",
        "df .",
        "pwd",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "over").samefile(tmp_path / "f")
    assert os.readlink(tmp_path / "link") == "f"
    assert not (tmp_path / "twin").exists()
    assert not (tmp_path / "made").exists()
    assert "-rw-r-----" in done.stdout
    assert "Sep  9  2001" in done.stdout
    assert "%Capacity" in done.stdout
    assert f"Remote working directory: {tmp_path}" in done.stdout


@needs_openssh
def test_a_failure_is_the_client_s_to_tell(sftp: Sftp, tmp_path: Path) -> None:
    done = sftp("get missing")
    assert done.returncode == 1
    assert "not found" in done.stderr
    assert sftp("put server /proc/nope").returncode == 1


# --- the host's functions ---


def test_what_cannot_be_opened_says_so(agent_binary: Path) -> None:
    async def body() -> None:
        async with asyncio.timeout(60), agent_connection(agent_binary) as connection:
            with pytest.raises(ExecNoSuchUser):
                await open_sftp(connection, user="nobody-of-this-name", deadline_s=D)
            async with await open_sftp(connection, cwd=b"/no/such", deadline_s=D) as session:
                with pytest.raises(ExecBadDirectory):
                    await session.wait()
            async with await open_sftp(connection, deadline_s=D) as session:
                await session.write(b"SSH-2.0-no\r\n" + bytes(100))
                with pytest.raises(GuestRefused) as caught:
                    await session.wait()
                assert caught.value.guest_code == "bad-packet"

    asyncio.run(body())


def test_a_session_ends_with_its_bytes(agent_binary: Path) -> None:
    async def body() -> None:
        async with asyncio.timeout(60), agent_connection(agent_binary) as connection:
            async with await open_sftp(connection, cwd=b"/", deadline_s=D) as session:
                await session.write(HELLO)
                await session.write_eof()
                got = b"".join([data async for _, data in session.output()])
                assert got[4:9] == bytes.fromhex("02 00000003")
                assert (await session.wait()).status == 0
                assert await session.close()

    asyncio.run(body())


def test_an_older_agent_is_told() -> None:
    async def script(agent: Agent) -> None:
        await agent.greet()
        assert (await agent.hear(FrameType.OPEN)).payload[0] == Kind.SFTP
        agent.say(refusal(1, b"bad-request", b"there is no request of kind 14"))

    async def body(connection: GuestConnection) -> None:
        with pytest.raises(GuestRefused, match="older banger, which cannot serve SFTP") as caught:
            await open_sftp(connection, deadline_s=D)
        assert caught.value.hint == "banger vm restart NAME"

    play(script, body)


def test_a_session_wakes_when_the_vm_ends() -> None:
    """H2."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(frame(FrameType.EVENT, 1))

    async def body(connection: GuestConnection) -> None:
        session = await open_sftp(connection, deadline_s=D)
        reading = asyncio.create_task(session.read())
        await asyncio.sleep(0)
        connection.fail(VmmFailed("The VMM has died."))
        with pytest.raises(VmmFailed):
            await reading
        assert not await session.close()

    play(script, body)


def test_closing_gives_the_session_up() -> None:
    """H3."""

    async def script(agent: Agent) -> None:
        await agent.greet()
        await agent.hear(FrameType.OPEN)
        agent.say(frame(FrameType.EVENT, 1))
        await agent.hear(FrameType.CLOSE)
        agent.say(refusal(1, b"closed"))

    async def body(connection: GuestConnection) -> None:
        session = await open_sftp(connection, deadline_s=D)
        assert await session.close()

    play(script, body)
