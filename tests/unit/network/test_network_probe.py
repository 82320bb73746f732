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
    request = render_arp_request(INTERFACE)
    assert lasting_filter.filter(request) == request


def test_other_frames_are_skipped_and_nothing_after_the_answer_is_taken() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(framed(bytes(60)) + framed(REPLY) + b"rest")
        run(ours, knock(ours, INTERFACE))
        assert ours.recv(100) == b"rest"


def test_a_network_that_closes_is_noticed() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(framed(REPLY)[:10])
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError), theirs:
            run(ours, knock(ours, INTERFACE))
