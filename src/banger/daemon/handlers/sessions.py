"""`session.*`: programs that a guest's agent keeps. The end of a client's stream ends none."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from banger import engine as verbs
from banger.api.requests import VmRef
from banger.api.results import Deleted, StartedStream
from banger.api.sessions import (
    SessionAttach,
    SessionDelete,
    SessionRef,
    SessionSend,
    SessionSignal,
    SessionStart,
    SessionStop,
    SessionView,
    StartedAttach,
)
from banger.daemon.calls import Call, Exit, Handlers, Stream
from banger.daemon.relay import relay
from banger.engine import Engine
from banger.guest import ExitStatus, Gap, SessionAttachment, SessionInput


def session_handlers(engine: Engine) -> Handlers:
    """Return the handlers of these methods."""

    async def start(_: Call, params: SessionStart) -> SessionView:
        return await verbs.start_session(engine, params)

    async def list_(_: Call, params: VmRef) -> list[SessionView]:
        return await verbs.list_sessions(engine, params)

    async def show(_: Call, params: SessionRef) -> SessionView:
        return await verbs.show_session(engine, params)

    async def signal(_: Call, params: SessionSignal) -> SessionView:
        return await verbs.signal_session(engine, params)

    async def stop(_: Call, params: SessionStop) -> SessionView:
        return await verbs.stop_session(engine, params)

    async def wait(call: Call, params: SessionRef) -> SessionView:
        return await verbs.wait_session(engine, call.operation, params)

    async def delete(_: Call, params: SessionDelete) -> Deleted:
        return await verbs.delete_session(engine, params)

    return {
        "session.start": start,
        "session.list": list_,
        "session.show": show,
        "session.signal": signal,
        "session.stop": stop,
        "session.wait": wait,
        "session.delete": delete,
        **_stream_handlers(engine),
    }


def _stream_handlers(engine: Engine) -> Handlers:
    async def attach(call: Call, params: SessionAttach) -> Exit:
        attachment, session = await verbs.attach_session(engine, call.operation, params)
        async with attachment:
            started = StartedAttach(session=session, position=attachment.start)
            stream = await call.start_stream(started)
            return await relay(stream, _Attached(stream, attachment), timeout_s=None)

    async def send(call: Call, params: SessionSend) -> Exit:
        async with await verbs.open_session_input(engine, call.operation, params) as given:
            stream = await call.start_stream(StartedStream())
            return await relay(stream, _Sending(given), timeout_s=None)

    return {"session.attach": attach, "session.send": send}


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
