"""What the daemon makes of the answers of an egress proxy, which its guest may have taken over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from banger.errors import NotSupported, VmmFailed
from banger.model.egress import Egress, Profile
from banger.network.egress.control import (
    ask_names,
    ask_proxy_denials,
    control_socket,
    set_bandwidth,
    set_proxy_policy,
    set_proxy_secrets,
)

DENIALS, NAMES = ask_proxy_denials, lambda path: ask_names(path, ["198.18.7.7"])


async def ask(
    path: Path, question: Callable[[str], Awaitable[Any]], untrusted_answer: bytes
) -> Any:
    """Ask a question of somebody who answers so."""
    with control_socket(path) as listener:
        listener.setblocking(False)
        answering = asyncio.create_task(answer(listener, untrusted_answer))
        try:
            return await question(str(path))
        finally:
            await answering


async def answer(listener: socket.socket, untrusted_answer: bytes) -> None:
    loop = asyncio.get_running_loop()
    client, _ = await loop.sock_accept(listener)
    with client:
        client.setblocking(False)
        await loop.sock_recv(client, 4096)
        await loop.sock_sendall(client, untrusted_answer)


def test_a_filter_that_knows_no_bandwidth_has_no_limit(short_dir: Path) -> None:
    """An older banger's: without one it goes on, and one is refused."""
    asyncio.run(ask(short_dir / "control", lambda path: set_bandwidth(path, 0), b"E"))
    with pytest.raises(NotSupported):
        asyncio.run(ask(short_dir / "control", lambda path: set_bandwidth(path, 10), b"E"))


def test_a_proxy_that_does_not_know_a_rule_is_an_older_bangers(short_dir: Path) -> None:
    """B11: it keeps what it has."""
    egress = Egress(profile=Profile.ALLOWLIST, rules=("allow @python",))
    with pytest.raises(NotSupported):
        asyncio.run(ask(short_dir / "control", lambda path: set_proxy_policy(path, egress), b"E"))


@pytest.mark.parametrize(("answer", "needs"), [(b"S", False), (b"SC", True)])
def test_a_proxy_tells_whether_it_needs_a_certificate(
    short_dir: Path, answer: bytes, needs: bool
) -> None:
    """An older banger's, which could take none, tells nothing."""
    asking = ask(short_dir / "control", lambda path: set_proxy_secrets(path, []), answer)
    assert asyncio.run(asking) is needs


@pytest.mark.parametrize(
    ("question", "untrusted_answer"),
    [
        (DENIALS, b"L"),
        (DENIALS, b'L[["one.example:443/tcp",1]]'),
        (DENIALS, b'L[["\xff",1,1.0,true,""]]'),
        (NAMES, b'N["one.example"]'),
        (NAMES, b'N{"198.18.7.7":"\xff"}'),
        (NAMES, b"F"),
    ],
)
def test_an_answer_that_is_not_valid_is_an_error_of_that_vm(
    short_dir: Path, question: Callable[[str], Awaitable[Any]], untrusted_answer: bytes
) -> None:
    """E2, E5."""
    with pytest.raises(VmmFailed):
        asyncio.run(ask(short_dir / "control", question, untrusted_answer))
