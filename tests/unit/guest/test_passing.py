"""H7: what is sent on where it was received does not overtake what waits to be sent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from types import SimpleNamespace
from typing import Any

from banger.guest import GuestTcp
from banger.guest.codec import Frame, FrameType, Kind
from banger.guest.flow_control import WINDOW, WindowPool
from banger.guest.stream import Request, Stream

PIECE = 32768
SMALL_BUFFER = 8192


def data(number: int) -> Frame:
    return Frame(FrameType.DATA, 1, 1, bytes([number]) * PIECE)


def receive(sock: socket.socket) -> bytes:
    """Return what has come until now."""
    received = bytearray()
    with contextlib.suppress(BlockingIOError):
        while piece := sock.recv(2 * PIECE):
            received += piece
    return bytes(received)


def test_data_does_not_overtake_what_the_socket_did_not_take() -> None:
    async def work() -> None:
        link: Any = SimpleNamespace(check=lambda: None, send=lambda _: None, failure=None)
        request = Request(Kind.CONNECT, "a test")
        stream = Stream(link, 1, request=request, window=WINDOW, pool=WindowPool(0))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for sock in (ours, theirs):
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
            passing = asyncio.create_task(GuestTcp(stream).pass_to(ours))
            await asyncio.sleep(0)
            # The socket takes a part; the task waits until it takes the rest.
            stream.accept(data(0))
            for _ in range(10):
                await asyncio.sleep(0)
            received = receive(theirs)
            assert 0 < len(received) < PIECE
            # There is room now, before the task has been told so.
            stream.accept(data(1))
            stream.accept(Frame(FrameType.EOF, 1, 1, b""))
            while not passing.done():
                await asyncio.sleep(0)
                received += receive(theirs)
            await passing
            assert received + receive(theirs) == data(0).payload + data(1).payload

    asyncio.run(asyncio.wait_for(work(), 30))
