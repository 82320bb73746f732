"""The knock at a user network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine

import pytest

from banger.model.names import VmId
from banger.network.user.kind import NETWORK
from banger.network.user.probe import knock, render_arp_request
from tests.unit.network.wire import EgressFilter

INTERFACE = NETWORK.plan_interface(VmId("0123456789ab"))
REPLY = bytes(12) + b"\x08\x06" + bytes(28)


def framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(4, "big") + frame


def run(first: socket.socket, action: Coroutine[None, None, None]) -> None:
    first.setblocking(False)

    async def bounded() -> None:
        async with asyncio.timeout(10):
            await action

    asyncio.run(bounded())


def test_the_question_is_one_frame_that_the_filter_lets_pass(lasting_filter: EgressFilter) -> None:
    assert lasting_filter.passes(render_arp_request(INTERFACE))


def test_other_frames_are_skipped_and_nothing_after_the_answer_is_taken() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(framed(bytes(60)) + framed(REPLY) + b"rest")
        run(ours, knock(ours, INTERFACE))
        assert ours.recv(100) == b"rest"


def test_where_frames_are_messages_the_same_is_asked() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for message in (bytes(60), REPLY, b"rest"):
            theirs.sendall(message)
        run(ours, knock(ours, INTERFACE))
        assert ours.recv(100) == b"rest"
        assert theirs.recv(100) == render_arp_request(INTERFACE)


@pytest.mark.parametrize(
    ("kind", "untrusted"),
    [(socket.SOCK_STREAM, framed(REPLY)[:10]), (socket.SOCK_SEQPACKET, bytes(60))],
)
def test_a_network_that_closes_is_noticed(kind: socket.SocketKind, untrusted: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with ours:
        theirs.sendall(untrusted)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError), theirs:
            run(ours, knock(ours, INTERFACE))
