"""Pass bytes between a connection of the host and a connection inside the guest.

Each direction waits for its receiver, so whatever either side does, memory is bounded by the guest
stream's window, the kernel's socket buffers and one piece of `PIECE_BYTES`. The end of one
direction is passed on as such (half-close), and a broken connection as a reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct

from banger.errors import BangerError
from banger.guest import GuestTcp

PIECE_BYTES = 256 * 1024
"""Most bytes read at once: a window of the guest's stream."""
_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)

log = logging.getLogger(__name__)


async def relay(sock: socket.socket, tcp: GuestTcp) -> None:
    """Pass bytes both ways until both directions have ended, or the connection broke.

    Closes the guest's connection; the caller closes the socket, whose connection is then reset if
    the other broke, or if this was cancelled.
    """
    is_whole = False
    try:
        async with tcp:
            if is_whole := await _pass_both(sock, tcp):
                await tcp.wait_ended()
    except (OSError, BangerError) as error:
        is_whole = False
        log.debug("a forwarded connection broke: %s", error)
    finally:
        if not is_whole:
            reset_when_closed(sock)


def reset_when_closed(sock: socket.socket) -> None:
    """Have the kernel reset the connection when the socket is closed."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)


async def _pass_both(sock: socket.socket, tcp: GuestTcp) -> bool:
    """Return whether all bytes that the host sent were taken."""
    upward = asyncio.ensure_future(_pass_to_guest(sock, tcp))
    downward = asyncio.ensure_future(_pass_to_host(sock, tcp))
    try:
        done, _ = await asyncio.wait({upward, downward}, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()  # raises what broke the connection
        return upward.result()
    finally:
        for task in (upward, downward):
            task.cancel()
        await asyncio.gather(upward, downward, return_exceptions=True)


async def _pass_to_guest(sock: socket.socket, tcp: GuestTcp) -> bool:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(sock, PIECE_BYTES):
        if not await tcp.write(data):
            return False  # what the guest sent before it closed still goes to the host
    await tcp.write_eof()
    return True


async def _pass_to_host(sock: socket.socket, tcp: GuestTcp) -> None:
    await tcp.pass_to(sock)
    sock.shutdown(socket.SHUT_WR)
