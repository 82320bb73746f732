"""Join a program in a guest with the client's stream, until one of them ends.

Output goes as fast as the client reads. Input is taken from the client at once, at most
a window of it is held, and the client may send more when the program has taken some; so
a signal never waits behind input (`api.stream`). The program is always given up on
leaving, which kills its group: client gone, deadline, daemon stopping (hazards H2, H3, C5).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from banger.api.stream import CONTROL, Control, parse_control
from banger.daemon.calls import Exit, Stream
from banger.errors import Cancelled, DeadlineExceeded, InvalidRequest


class ExitLike(Protocol):
    """How a program ended."""

    @property
    def status(self) -> int: ...
    @property
    def signal(self) -> int | None: ...


class Session(Protocol):
    """A running program: one in a guest, or in tests one of the host."""

    async def write(self, data: bytes, /) -> object: ...
    async def write_eof(self) -> None: ...
    def output(self) -> AsyncIterator[tuple[int, bytes]]: ...
    async def wait(self) -> ExitLike: ...
    async def resize(self, rows: int, columns: int, /) -> None: ...
    async def signal(self, number: int, /) -> None: ...
    async def close(self) -> object: ...


async def relay(stream: Stream, session: Session, *, timeout_s: float | None) -> Exit:
    """Return how the program ended; it is given up in every case.

    Raises:
        DeadlineExceeded: it ran longer than `timeout_s` and its group was killed.
        Cancelled: the client stopped sending, which is how it leaves.
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
    """Take frames until the client stops sending."""
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
    """Do what a control frame says.

    Raises:
        InvalidRequest: it says something else than `api.stream` allows.
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
            raise InvalidRequest("A control frame says nothing that is known.")
