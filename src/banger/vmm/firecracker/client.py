"""Conversations with Firecracker over its API socket: HTTP/1.1, by h11.

A connection is opened for each conversation, kept for all of its requests, and closed after it:
Firecracker takes ten at most, and an idle daemon with many VMs holds none. A request has one
deadline for everything, and one that fails in whatever way ends its connection: what comes after
it on the wire may be the rest of its answer. Nothing is tried again here, since nobody can
tell whether a request that was sent was carried out.

Firecracker's end closes its sockets, which ends every wait for an answer at once.

What Firecracker says is `untrusted_`: it may have been taken over by its guest. The bytes of an
answer are bounded, all of them together, and what is not in the shapes of `replies` is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from typing import TypeVar

import h11
import msgspec

from banger.errors import BangerError, DeadlineExceeded, HostFailed, NoSpace, VmmFailed
from banger.host.files import LIMITS, NO_SPACE
from banger.vmm.firecracker.replies import Fault
from banger.vmm.firecracker.requests import Request

REPLY_BYTES = 64 * 1024
"""Of one answer with its head; the longest real one, `GET /vm/config`, has about 2,000."""
READ_BYTES = 16 * 1024
FAULT_CHARACTERS = 500
FIRST_RETRY_S, LAST_RETRY_S = 0.001, 0.02
"""Between two looks for a socket that Firecracker has not made yet."""
NO_CONTENT = 204
_OS_ERROR = re.compile(r"\(os error (\d{1,3})\)|\bOs \{ code: (\d{1,3}),")
"""How Rust prints an error of the system: for people, and for programmers."""

R = TypeVar("R")


class Connection:
    """A connection to Firecracker's API; one request at a time."""

    def __init__(self, sock: socket.socket, path: str) -> None:
        self._sock = sock
        self._path = path
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=READ_BYTES)
        self._received = 0

    async def send(self, request: Request[R], *, deadline_s: float) -> R:
        """Send a request; return its reply.

        Raises:
            VmmFailed: it was refused, or Firecracker ended, or does not answer as it should.
            HostFailed, NoSpace: it was refused because the host denied Firecracker a resource.
            DeadlineExceeded: it was not answered in time; it may be carried out yet.
        """
        if self._http.our_state is not h11.IDLE:
            raise VmmFailed(f"The connection to Firecracker at {self._path} is used up.")
        try:
            async with asyncio.timeout(deadline_s):
                await self._write(request)
                status, untrusted_body = await self._read()
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"Firecracker did not answer {request} at {self._path} within {deadline_s:g} s."
            ) from error
        except OSError as error:
            raise VmmFailed(
                f"The connection to Firecracker at {self._path} failed during {request}: "
                f"{error.strerror}."
            ) from error
        except h11.RemoteProtocolError as error:
            raise VmmFailed(
                f"Firecracker at {self._path} gave no complete answer to {request}.",
                details=str(error),
            ) from error
        return parse_reply(request, status, untrusted_body)

    async def _write(self, request: Request[R]) -> None:
        body = b"" if request.body is None else msgspec.json.encode(request.body)
        headers = [("Host", "localhost"), ("Accept", "application/json")]
        if body:
            headers.append(("Content-Type", "application/json"))
            headers.append(("Content-Length", str(len(body))))
        head = h11.Request(method=request.method, target=request.path, headers=headers)
        events = (head, h11.Data(data=body), h11.EndOfMessage())
        sent = b"".join(self._http.send(event) or b"" for event in events)
        await asyncio.get_running_loop().sock_sendall(self._sock, sent)

    async def _read(self) -> tuple[int, bytes]:
        """Return the status and the body of an answer, and be ready for the next request."""
        self._received = 0
        status, untrusted_body = 0, bytearray()
        while not isinstance(event := await self._next_event(), h11.EndOfMessage):
            match event:
                case h11.Response():
                    status = event.status_code
                case h11.Data():
                    untrusted_body += event.data
                case h11.InformationalResponse():
                    pass
                case _:
                    raise h11.RemoteProtocolError(f"unexpected {event!r}")
        if self._http.trailing_data[0]:
            raise VmmFailed(f"Firecracker at {self._path} sent more than it was asked for.")
        if self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return status, bytes(untrusted_body)

    async def _next_event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            untrusted_data = await asyncio.get_running_loop().sock_recv(self._sock, READ_BYTES)
            self._received += len(untrusted_data)
            if self._received > REPLY_BYTES:
                raise VmmFailed(f"An answer of Firecracker at {self._path} is too long.")
            self._http.receive_data(untrusted_data)
        return event


@contextlib.asynccontextmanager
async def open_connection(socket_path: str, *, deadline_s: float) -> AsyncIterator[Connection]:
    """Connect to Firecracker for a block.

    Raises:
        VmmFailed: no process listens there.
        DeadlineExceeded: the connection was not taken in time.
    """
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.get_running_loop().sock_connect(sock, socket_path)
        except TimeoutError as error:
            raise _not_taken(socket_path, deadline_s) from error
        except OSError as error:
            raise VmmFailed(
                f"Firecracker cannot be reached at {socket_path}: {error.strerror}."
            ) from error
        yield Connection(sock, socket_path)


async def ask(socket_path: str, request: Request[R], *, deadline_s: float) -> R:
    """Send one request over a connection of its own; return its reply.

    Raises:
        VmmFailed, HostFailed, NoSpace, DeadlineExceeded: as `Connection.send`.
    """
    async with open_connection(socket_path, deadline_s=deadline_s) as connection:
        return await connection.send(request, deadline_s=deadline_s)


async def wait_listening(socket_path: str, *, deadline_s: float) -> None:
    """Return when Firecracker, which has just been started, takes connections at its socket.

    It makes the socket itself, and fails if there is one: nothing can be bound for it before. If
    it ends instead only the deadline ends this; so wait for its end beside it.

    Raises:
        DeadlineExceeded: it has not in time.
    """
    pause_s = FIRST_RETRY_S
    try:
        async with asyncio.timeout(deadline_s):
            while not await _listens(socket_path):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_RETRY_S)
    except TimeoutError as error:
        raise _not_taken(socket_path, deadline_s) from error


async def _listens(socket_path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, socket_path)
        return True
    return False


def parse_reply(request: Request[R], status: int, untrusted_body: bytes) -> R:
    """Return a request's reply from an answer.

    Raises:
        VmmFailed, HostFailed, NoSpace: as `Connection.send`.
    """
    if status not in (200, NO_CONTENT):
        raise _name_fault(request, status, untrusted_body)
    # No content is the reply of a request that asks for nothing.
    untrusted_body = b"null" if status == NO_CONTENT else untrusted_body
    try:
        return msgspec.json.decode(untrusted_body, type=request.reply)
    except (ValueError, RecursionError) as error:
        raise VmmFailed(f"Firecracker gave an invalid answer to {request}: {error}.") from error


def _name_fault(request: Request[R], status: int, untrusted_body: bytes) -> BangerError:
    """Return the error that a refusal is: the host's, if it denied Firecracker a resource."""
    try:
        fault = msgspec.json.decode(untrusted_body, type=Fault).fault_message
    except (ValueError, RecursionError):
        fault = f"status {status}, without a reason"
    fault = " ".join(fault[:FAULT_CHARACTERS].split())
    sentence = f"Firecracker refused {request}: {fault}"
    found = _OS_ERROR.search(fault)
    number = int(found[1] or found[2]) if found else 0
    if number in NO_SPACE:
        return NoSpace(sentence, hint="df -h")
    if number in LIMITS:
        return HostFailed(sentence, hint="ulimit -a")
    return VmmFailed(sentence)


def _not_taken(socket_path: str, deadline_s: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"Firecracker took no connection at {socket_path} within {deadline_s:g} s."
    )
