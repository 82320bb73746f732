"""Asking a service manager for a scope: what is asked, and every way in which it goes wrong."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from jeepney import Message

from banger.errors import DeadlineExceeded, HostFailed
from banger.host import programs
from banger.host.identity import ProcessIdentity, identify
from banger.host.limits import Scope, find_service_manager, start_scope
from banger.host.limits.servicemanager import SOCKET
from tests.component.limits.scripted import JOB, Caller, Part, service_manager

DEADLINE_S = 30.0
UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists"


def own_identity() -> ProcessIdentity:
    identity = identify(os.getpid())
    assert identity is not None
    return identity


def make_scope(*processes: ProcessIdentity) -> Scope:
    return Scope(
        name="banger-0123456789ab.scope",
        description="VM 0123456789ab of banger",
        processes=processes,
        memory_bytes=3 * 2**30,
        cpu_percent=300,
        tasks=130,
    )


def ask(
    path: Path, part: Part, *, deadline_s: float = DEADLINE_S, **options: Any
) -> list[tuple[Any, ...]]:
    """Ask a manager that plays `part` for a scope of no process; return what it was asked."""

    async def scenario() -> list[tuple[Any, ...]]:
        async with service_manager(path, part, **options) as calls:
            await start_scope(path, make_scope(), deadline_s=deadline_s)
            return calls

    return asyncio.run(scenario())


@pytest.fixture
def path(short_dir: Path) -> Path:
    return short_dir / SOCKET


async def agree(caller: Caller, call: Message) -> None:
    await caller.accept(call)
    await caller.end_job("/org/freedesktop/systemd1/job/6", "another.service", "failed")
    await caller.end_job(JOB, call.body[0], "done")


def test_what_is_asked(path: Path) -> None:
    """The unit's name, nothing replaced, its limits in the manager's units."""
    ((name, mode, properties, auxiliary),) = ask(path, agree)
    assert (name, mode, auxiliary) == ("banger-0123456789ab.scope", "fail", [])
    assert dict(properties) == {
        "Description": ("s", "VM 0123456789ab of banger"),
        "PIDs": ("au", []),
        "MemoryMax": ("t", 3 * 2**30),
        "CPUQuotaPerSecUSec": ("t", 3_000_000),
        "TasksMax": ("t", 130),
        "CollectMode": ("s", "inactive-or-failed"),
    }


def test_a_scope_of_this_name_is_waited_for(path: Path) -> None:
    """A VM that is started again: its last scope ends when its manager sees that it is empty."""
    asked = []

    async def part(caller: Caller, call: Message) -> None:
        asked.append(call.body[0])
        if len(asked) < 3:
            await caller.refuse(call, UNIT_EXISTS, "It was loaded already.")
        else:
            await agree(caller, call)

    ask(path, part)
    assert len(asked) == 3


def test_a_process_that_was_not_moved_is_told(path: Path) -> None:
    """A manager that says `done` and has not: this process is in no scope."""

    async def scenario() -> None:
        async with service_manager(path, agree):
            with pytest.raises(
                HostFailed, match=f"did not move all processes of .*: {os.getpid()}"
            ):
                await start_scope(path, make_scope(own_identity()), deadline_s=DEADLINE_S)

    asyncio.run(scenario())


async def refuse(caller: Caller, call: Message) -> None:
    await caller.refuse(call, "org.freedesktop.DBus.Error.AccessDenied", "Not for you.")


async def fail(caller: Caller, call: Message) -> None:
    await caller.accept(call)
    await caller.end_job(JOB, call.body[0], "failed")


async def go_away(caller: Caller, call: Message) -> None:
    await caller.accept(call)


async def talk_nonsense(caller: Caller, call: Message) -> None:
    caller.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (refuse, "refuses banger-0123456789ab.scope: Not for you."),
        (fail, "could not start banger-0123456789ab.scope: failed."),
        (go_away, "closed the connection"),
        (talk_nonsense, "is not a service manager"),
    ],
)
def test_what_goes_wrong_is_one_sentence(path: Path, part: Part, said: str) -> None:
    with pytest.raises(HostFailed, match=said):
        ask(path, part)


def test_a_manager_that_does_not_know_us(path: Path) -> None:
    with pytest.raises(HostFailed, match="is not a service manager"):
        ask(path, agree, greeting=b"REJECTED ANONYMOUS\r\n")


def test_a_manager_that_hangs_costs_no_more_than_the_deadline(path: Path) -> None:
    async def hang(caller: Caller, call: Message) -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
        ask(path, hang, deadline_s=0.2)


def test_a_socket_that_nobody_listens_on(path: Path) -> None:
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
    assert find_service_manager(path.parent.parent) == path
    with pytest.raises(HostFailed, match="closed the connection"):
        asyncio.run(start_scope(path, make_scope(), deadline_s=DEADLINE_S))


def test_a_manager_of_another_process_namespace_is_not_asked(path: Path) -> None:
    """B2: our pids are other processes' there; the kernel has no number for such a peer here."""

    script = (
        "import socket, sys\n"
        "from banger.host.limits.servicemanager import read_peer\n"
        "with socket.socket(socket.AF_UNIX) as peer:\n"
        "    peer.connect(sys.argv[1])\n"
        "    print(read_peer(peer))\n"
    )
    container = ("bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--")
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))
        listener.listen()
        for wrapped, seen in (((), str(os.getpid())), (container, "None")):
            argv = [*wrapped, sys.executable, "-c", script, os.fspath(path)]
            assert programs.run_sync(argv, deadline_s=DEADLINE_S).text.strip() == seen
