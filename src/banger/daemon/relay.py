"""Relay between a program in a guest and the client's stream, until either ends.

Output is sent as fast as the client reads. Input is read from the client at once and buffered up to
the window, and the client may send more as the program consumes it, so a signal never waits behind
input (`api.stream`). The session is always closed at the end, which kills the program's group:
after a disconnect, a deadline, a stop of the daemon (hazards H2, H3, C5).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from banger.api.stream import CONTROL, Control, parse_control
from banger.daemon.calls import Exit, Stream
from banger.errors import Cancelled, DeadlineExceeded, InvalidRequest


class ExitLike(Protocol):
    """A program's exit: status or signal."""

    @property
    def status(self) -> int: ...
    @property
    def signal(self) -> int | None: ...


class Session(Protocol):
    """A running program in a guest, or in tests on the host."""

    async def write(self, data: bytes, /) -> object: ...
    async def write_eof(self) -> None: ...
    def output(self) -> AsyncIterator[tuple[int, bytes]]: ...
    async def wait(self) -> ExitLike: ...
    async def resize(self, rows: int, columns: int, /) -> None: ...
    async def signal(self, number: int, /) -> None: ...
    async def close(self) -> object: ...


async def relay(stream: Stream, session: Session, *, timeout_s: float | None) -> Exit:
    """Return the program's exit; always close the session.

    Raises:
        DeadlineExceeded: the program ran longer than `timeout_s` and its group was killed.
        Cancelled: the client closed its sending side, which counts as a disconnect.
    """
    taker = asyncio.create_task(_take_input(stream, session))
    giver = asyncio.create_task(_give_output(stream, session))
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.wait({taker, giver}, return_when=asyncio.FIRST_COMPLETED)
            if not giver.done():
                taker.result()
                raise Cancelled("The client left.")
            return giver.result()
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"The command did not finish within {timeout_s:g} s and was killed."
        ) from error
    finally:
        taker.cancel()
        giver.cancel()
        await asyncio.gather(taker, giver, return_exceptions=True)
        await session.close()


async def _give_output(stream: Stream, session: Session) -> Exit:
    async for channel, data in session.output():
        await stream.write(channel, data)
    ended = await session.wait()
    return {"status": ended.status} if ended.signal is None else {"signal": ended.signal}


async def _take_input(stream: Stream, session: Session) -> None:
    """Handle the client's frames until the client stops sending."""
    waiting: asyncio.Queue[bytes | None] = asyncio.Queue()
    feeder = asyncio.create_task(_feed(stream, session, waiting=waiting))
    try:
        async for channel, untrusted_payload in stream.frames():
            if channel == CONTROL:
                await _obey(parse_control(untrusted_payload), session, waiting=waiting)
            else:
                waiting.put_nowait(untrusted_payload)
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)


async def _feed(stream: Stream, session: Session, *, waiting: asyncio.Queue[bytes | None]) -> None:
    while (data := await waiting.get()) is not None:
        await session.write(data)
        stream.grant(len(data))
    await session.write_eof()


async def _obey(
    untrusted: Control, session: Session, *, waiting: asyncio.Queue[bytes | None]
) -> None:
    """Execute a control frame.

    Raises:
        InvalidRequest: the frame is not one that `api.stream` defines.
    """
    match untrusted:
        case {"resize": {"rows": int(rows), "columns": int(columns)}} if (
            0 < rows < 65536 and 0 < columns < 65536
        ):
            await session.resize(rows, columns)
        case {"signal": int(number)} if 0 < number <= 64:
            await session.signal(number)
        case {"eof": True}:
            waiting.put_nowait(None)
        case _:
            raise InvalidRequest("The control frame is unknown.")
