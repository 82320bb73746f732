"""The Python clients read a session's output over daemons that follow each other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from banger import AsyncClient, Client
from banger.errors import OutcomeUnknown
from tests.component.sessions.conftest import Box

Follow = Callable[[Callable[[], None]], list[bytes]]


@pytest.fixture(autouse=True)
def environ(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process's clients talk to the daemon of `box`."""
    for name, value in box.environ.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def wait_for_next(short_dir: Path) -> str:
    """The part of a script that waits until `replace_daemon` has been called."""
    return f"while [ ! -e {short_dir}/next ]; do sleep 0.05; done"


@pytest.fixture
def replace_daemon(box: Box, short_dir: Path) -> Iterator[Callable[[], None]]:
    """What kills the daemon, which runs, and starts the next one."""
    with box.daemon() as first, contextlib.ExitStack() as later:

        def replace() -> None:
            first.kill()
            first.wait()
            later.enter_context(box.daemon())
            (short_dir / "next").touch()

        yield replace


def follow(between: Callable[[], None]) -> list[bytes]:
    """Return the output of `box`'s session `job`; `between` is called after its first piece."""
    pieces: Iterator[tuple[int, bytes]] = (
        Client(autostart=False).get("box").sessions.get("job").logs(follow=True)
    )
    found = [next(pieces)[1]]
    between()
    return found + [data for _, data in pieces]


def follow_in_a_loop(between: Callable[[], None]) -> list[bytes]:
    """Do the same by the other client."""

    async def run() -> list[bytes]:
        vm = await AsyncClient(autostart=False).get("box")
        job = await vm.sessions.get("job")
        pieces: AsyncIterator[tuple[int, bytes]] = job.logs(follow=True)
        found = [(await anext(pieces))[1]]
        between()
        return found + [data async for _, data in pieces]

    return asyncio.run(run())


@pytest.mark.parametrize("read", [follow, follow_in_a_loop])
def test_logs_are_followed_over_a_death_of_the_daemon(
    box: Box, replace_daemon: Callable[[], None], wait_for_next: str, read: Follow
) -> None:
    """H9: the next daemon goes on where the last was cut off; nothing is twice."""
    box.start("job", f"echo one; {wait_for_next}; echo two")
    assert read(replace_daemon) == [b"one\n", b"two\n"]


Attach = Callable[[str, Callable[[], None]], list[object]]


def attach(name: str, between: Callable[[], None]) -> list[object]:
    """Return what comes of a session of `box` that is attached to, read and written."""
    session = Client(autostart=False).get("box").sessions.get(name)
    with session.attach() as attached:
        pieces = iter(attached)
        found: list[object] = [next(pieces)[1]]
        between()
        found.append(next(pieces)[1])
        attached.write("hello\n")
        return [*found, *(data for _, data in pieces), attached.returncode, attached.wait()]


def attach_in_a_loop(name: str, between: Callable[[], None]) -> list[object]:
    """Do the same by the other client."""

    async def run() -> list[object]:
        vm = await AsyncClient(autostart=False).get("box")
        async with await (await vm.sessions.get(name)).attach() as attached:
            pieces = aiter(attached)
            found: list[object] = [(await anext(pieces))[1]]
            between()
            found.append((await anext(pieces))[1])
            await attached.write("hello\n")
            found += [data async for _, data in pieces]
            return [*found, attached.returncode, await attached.wait()]

    return asyncio.run(run())


def wait_attached(name: str, between: Callable[[], None]) -> list[object]:
    """Return what was kept while the session's end was waited for."""
    session = Client(autostart=False).get("box").sessions.get(name)
    session.send("hello\n")
    with session.attach(stdin=False) as attached:
        between()
        status = attached.wait()
        return [b"".join(data for _, data in attached), status]


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (attach, [b"one\n", b"two\n", b"got hello\n", 3, 3]),
        (attach_in_a_loop, [b"one\n", b"two\n", b"got hello\n", 3, 3]),
        (wait_attached, [b"one\ntwo\ngot hello\n", 3]),
    ],
)
def test_an_attachment_goes_on_after_a_death_of_the_daemon(
    box: Box,
    replace_daemon: Callable[[], None],
    wait_for_next: str,
    work: Attach,
    expected: list[object],
) -> None:
    """H2, H9: in both directions; nothing is twice, and nothing is missing."""
    script = f"{wait_for_next}; echo two; read line"
    box.start("job", f"echo one; {script}; echo got $line; exit 3")
    assert work("job", replace_daemon) == expected


ENDLESS = ["sh", "-c", "echo one; exec sleep 1000"]


def wait_for_command(between: Callable[[], None]) -> None:
    """Wait for the end of a command in `box`; `between` is called after its first output."""
    with Client(autostart=False).get("box").popen(ENDLESS) as process:
        assert next(iter(process)) == (1, b"one\n")
        between()
        process.wait()


def wait_for_command_in_a_loop(between: Callable[[], None]) -> None:
    """Do the same by the other client."""

    async def run() -> None:
        vm = await AsyncClient(autostart=False).get("box")
        async with vm.popen(ENDLESS) as process:
            assert await anext(aiter(process)) == (1, b"one\n")
            between()
            await process.wait()

    asyncio.run(run())


@pytest.mark.parametrize("wait", [wait_for_command, wait_for_command_in_a_loop])
def test_the_outcome_of_a_command_is_unknown_when_the_daemon_dies(
    box: Box, wait: Callable[[Callable[[], None]], None]
) -> None:
    """H1: nobody is told that a command succeeded of which that is not known."""
    with box.daemon() as daemon, pytest.raises(OutcomeUnknown):
        wait(daemon.kill)
