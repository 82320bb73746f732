"""Reach a guest's agent through Firecracker's vsock: a Unix socket that leads to the guest's ports.

The host connects to the socket, says `CONNECT PORT`, and is answered `OK PORT`; from then on the
connection is the guest's (Firecracker's docs/vsock.md). Before the guest listens the connection
ends without an answer. So the host knocks until it is let in.

Firecracker may have been taken over by its guest, and its directory is its to write: a path that
does not lead to a socket of that directory is not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import stat

from banger.errors import DeadlineExceeded, GuestGone

AGENT_PORT = 5005
"""Where the agent listens (guest protocol, section 1)."""
ANSWER_BYTES = 32
FIRST_PAUSE_S, LAST_PAUSE_S = 0.002, 0.05
ANSWER_S = 1.0
"""For the answer to the first knock, which a guest that was just restored may lose. Later ones have
the time that has passed as well: a guest may be slow."""
_ANSWER = re.compile(rb"OK [0-9]{1,10}\n")


async def connect_agent(path: str, *, deadline_s: float) -> socket.socket:
    """Return a socket that leads to the agent, once it listens; the caller closes it.

    Raises:
        GuestGone: the VMM has ended, or does not speak as Firecracker does.
        DeadlineExceeded: the agent did not listen in time.
    """
    loop, pause_s = asyncio.get_running_loop(), FIRST_PAUSE_S
    began = loop.time()
    try:
        async with asyncio.timeout(deadline_s):
            while (sock := await _knock(path, answer_s=ANSWER_S + loop.time() - began)) is None:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_PAUSE_S)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"Reaching the guest's agent did not finish within {deadline_s:g} s."
        ) from error
    return sock


async def _knock(path: str, *, answer_s: float) -> socket.socket | None:
    """Connect and ask for the agent; None: it does not listen yet, or does not answer in time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(answer_s):
            return await _ask_for_agent(path)
    return None


async def _ask_for_agent(path: str) -> socket.socket | None:
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as on_failure:
        sock = on_failure.enter_context(socket.socket(socket.AF_UNIX))
        sock.setblocking(False)
        await _connect(sock, path)
        try:
            await loop.sock_sendall(sock, f"CONNECT {AGENT_PORT}\n".encode())
            untrusted_answer = await _read_line(sock)
        except ConnectionError:
            return None
        if not untrusted_answer:
            return None
        if not _ANSWER.fullmatch(untrusted_answer):
            raise GuestGone(f"The program that answers at {path} is not Firecracker's vsock.")
        on_failure.pop_all()
    return sock


async def _connect(sock: socket.socket, path: str) -> None:
    """Connect to the socket at a path, and to nothing that a link there leads to."""
    try:
        file = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not stat.S_ISSOCK(os.fstat(file).st_mode):
                raise GuestGone(f"The agent's socket {path} is not a socket.")
            await asyncio.get_running_loop().sock_connect(sock, f"/proc/self/fd/{file}")
        finally:
            os.close(file)
    except OSError as error:
        raise GuestGone(f"The agent's socket {path} cannot be reached: {error}.") from error


async def _read_line(sock: socket.socket) -> bytes:
    """Return a line, or what came before the end; not a byte of what follows it."""
    line = b""
    while len(line) < ANSWER_BYTES and not line.endswith(b"\n"):
        untrusted_byte = await asyncio.get_running_loop().sock_recv(sock, 1)
        if not untrusted_byte:
            return b""
        line += untrusted_byte
    return line
