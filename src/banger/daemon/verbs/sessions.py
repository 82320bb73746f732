"""`session.attach`, `session.send`. The end of a client's stream ends no session."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from banger.api.method import serves
from banger.api.results import StartedStream
from banger.api.sessions import SessionAttach, SessionSend, StartedAttach
from banger.daemon.calls import Call, Exit, Stream
from banger.daemon.relay import relay
from banger.engine.state.engine import Engine
from banger.engine.verbs.sessions import attach_session, open_session_input
from banger.guest import ExitStatus, Gap, SessionAttachment, SessionInput


@serves("session.attach")
async def attach(engine: Engine, call: Call, params: SessionAttach) -> Exit:
    """Send a session's output, and pass its input on."""
    attachment, session = await attach_session(engine, call.operation, params)
    async with attachment:
        started = StartedAttach(session=session, position=attachment.start)
        stream = await call.start_stream(started)
        return await relay(stream, _Attached(stream, attachment), timeout_s=None)


@serves("session.send")
async def send(engine: Engine, call: Call, params: SessionSend) -> Exit:
    """Pass input on to a session."""
    async with await open_session_input(engine, call.operation, params) as given:
        stream = await call.start_stream(StartedStream())
        return await relay(stream, _Sending(given), timeout_s=None)


class _Attached:
    """An attachment, relayed as a program is; what closes it is the client, not the session."""

    def __init__(self, stream: Stream, attachment: SessionAttachment) -> None:
        self._stream = stream
        self._attachment = attachment
        self.write = attachment.write
        self.write_eof = attachment.write_eof
        self.resize = attachment.resize
        self.signal = attachment.signal

    async def output(self) -> AsyncGenerator[tuple[int, bytes], None]:
        while (piece := await self._attachment.read()) is not None:
            if isinstance(piece, Gap):
                self._stream.tell_gap(piece.size)
            else:
                yield piece.channel, piece.untrusted_data

    async def wait(self) -> ExitStatus:
        return await self._attachment.wait() or ExitStatus(0)

    async def close(self) -> None:
        self._attachment.close()


class _Sending:
    """The input of a session, relayed as a program without output that ends when all was taken."""

    def __init__(self, given: SessionInput) -> None:
        self._given = given
        self.write = given.write
        self.write_eof = given.write_eof

    async def output(self) -> AsyncGenerator[tuple[int, bytes], None]:
        await self._given.wait_taken()
        empty: tuple[tuple[int, bytes], ...] = ()
        for each in empty:
            yield each

    async def wait(self) -> ExitStatus:
        return ExitStatus(0)

    async def resize(self, rows: int, columns: int) -> None:
        """Do nothing: an input has no size."""

    async def signal(self, number: int) -> None:
        """Do nothing: `session.signal` does."""

    async def close(self) -> None:
        self._given.close()
