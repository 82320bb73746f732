"""Firecracker's side of HTTP, byte by byte as its server writes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import h11

READ_BYTES = 4096
Handle = Callable[[str, str, bytes], Awaitable[tuple[int, bytes | None]]]
"""(method, path, body) to (status, body)."""


def render_answer(status: int, body: bytes | None = None) -> bytes:
    """Return an answer: no phrase behind the status, and no length without a body."""
    head = f"HTTP/1.1 {status} \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n"
    if body is None:
        return head.encode() + b"\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + kind.encode() + body


async def read_request(
    reader: asyncio.StreamReader, before: bytes = b""
) -> tuple[str, str, bytes, bytes] | None:
    """Return method, path, body and what came after it; None: the client has gone."""
    http = h11.Connection(h11.SERVER)
    if before:
        http.receive_data(before)
    head, body = None, b""
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        match event:
            case h11.Request():
                head = event
            case h11.Data():
                body += event.data
            case _:
                data = await reader.read(READ_BYTES)
                if not data:
                    return None
                http.receive_data(data)
    assert head is not None
    return head.method.decode(), head.target.decode(), body, http.trailing_data[0]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Handle) -> None:
    """Answer requests until the client goes."""
    rest = b""
    with contextlib.suppress(ConnectionError):
        while (request := await read_request(reader, rest)) is not None:
            method, path, body, rest = request
            writer.write(render_answer(*await handle(method, path, body)))
            await writer.drain()
    await close(writer)


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes) -> None:
    """Answer one request with these bytes."""
    with contextlib.suppress(ConnectionError):
        if await read_request(reader) is not None:
            writer.write(said)
            await writer.drain()
    await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, whatever its other end has done."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
