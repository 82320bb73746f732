"""Sessions: programs that the agent keeps with their newest output, without a client.

Owns the stream of each attachment; the session itself is the agent's, and outlives this process.
Nothing of a session is kept on this side: its name, its output and its end are asked for.

A position is a count of bytes of output since the session's start, of both channels together. Who
knows the position behind what it has had can go on there later, over any other connection, and is
told how many bytes the agent no longer keeps.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from banger.errors import (
    GuestProtocolError,
    GuestRefused,
    SessionBusy,
    SessionEnded,
    SessionExists,
    SessionNotFound,
    SessionRunning,
    SessionTakesNoInput,
)
from banger.guest.admission import Lane
from banger.guest.codec import MAX_PAYLOAD, Feature, Kind
from banger.guest.connection import GuestConnection, OnWait
from banger.guest.deadlines import deadline
from banger.guest.exec import (
    EXEC_REFUSALS,
    START_EACH_S,
    STDIN_FLAG,
    TTY_FLAG,
    ExecSpec,
    ExitStatus,
    counted_start,
    exec_fields,
    parse_exit_status,
)
from banger.guest.fields import Fields, Tag, encode_fields, i64, parse_fields, text, u64
from banger.guest.stream import Request, Stream

SESSIONS_MAX = 512
"""Sessions of one agent."""
NAME_BYTES = 63

FOLLOW_FLAG, INPUT_FLAG = 1, 2
EOF_FLAG = 1

_REFUSALS: dict[str, type[GuestRefused]] = {
    "not-found": SessionNotFound,
    "exists": SessionExists,
    "running": SessionRunning,
    "ended": SessionEnded,
    "no-input": SessionTakesNoInput,
    "busy": SessionBusy,
}
_START_REFUSALS = EXEC_REFUSALS | {"exists": SessionExists}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_RECORD = struct.Struct("<qIB3s")
_GAP = struct.Struct("<Q")


@dataclass(frozen=True)
class GuestSession:
    """A session as its agent tells of it, checked.

    `untrusted_argv`: the first KiB of the command line. `pid` None: it has ended, at `ended_ns`,
    with `exit`. Times are CLOCK_REALTIME of the guest. Output from position `kept_from` to `size`
    is kept. `readers`: how many clients are attached.
    """

    name: str
    untrusted_argv: tuple[bytes, ...]
    pid: int | None
    is_terminal: bool
    takes_input: bool
    started_ns: int
    ended_ns: int | None
    exit: ExitStatus | None
    kept_from: int
    size: int
    readers: int


@dataclass(frozen=True)
class AttachSpec:
    """What to have of a session's output: from the last of `position`, where the last `lines`
    begin, and `since_ns` (to a second) on, to its end, or to the output of now.

    `with_input`: write as well; only one client can. `terminal`: its (rows, columns).
    """

    position: int = 0
    lines: int | None = None
    since_ns: int | None = None
    follow: bool = True
    with_input: bool = False
    terminal: tuple[int, int] | None = None


@dataclass(frozen=True)
class Output:
    """A piece of a session's output: channel 1 (stdout, terminal) or 2, and when it was written."""

    channel: int
    time_ns: int
    untrusted_data: bytes


@dataclass(frozen=True)
class Gap:
    """Output that the agent no longer keeps: `size` bytes."""

    size: int


class OutputRecords:
    """Splits the guest's bytes into pieces of output; holds one record and one read."""

    def __init__(self) -> None:
        self._untrusted = bytearray()

    def feed(self, untrusted: bytes) -> None:
        """Add the next bytes."""
        self._untrusted += untrusted

    def next(self) -> Output | Gap | None:
        """Return the next piece, or None if more bytes are needed.

        Raises:
            GuestProtocolError: the bytes are no record.
        """
        if len(self._untrusted) < _RECORD.size:
            return None
        time_ns, size, channel, zero = _RECORD.unpack_from(self._untrusted)
        if size > MAX_PAYLOAD or not size or channel > 2 or any(zero):
            raise GuestProtocolError("The guest sent output that is not a record.")
        end = _RECORD.size + size
        if len(self._untrusted) < end:
            return None
        data = bytes(self._untrusted[_RECORD.size : end])
        del self._untrusted[:end]
        return Output(channel, time_ns, data) if channel else _parse_gap(data)


class SessionAttachment:
    """An attachment to a session. Use it in an `async with`; its end does not end the session.

    `start`: the position of the first byte that `read` returns, or tells to be lost.
    """

    def __init__(self, stream: Stream, session: GuestSession, start: int) -> None:
        self.session = session
        self.start = start
        self._stream = stream
        self._records = OutputRecords()

    async def __aenter__(self) -> SessionAttachment:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def read(self) -> Output | Gap | None:
        """Return the next output; None at the session's end or, unless this follows, of now.

        Raises:
            SessionNotFound: the session was deleted meanwhile.
        """
        while (piece := self._records.next()) is None:
            taken = await self._stream.read()
            if taken is None:
                return None
            self._records.feed(taken[1])
        return piece

    async def wait(self) -> ExitStatus | None:
        """Return how the session has ended; None if it goes on. To be called after the output."""
        return _parse_exit(await self._stream.result())

    async def write(self, data: bytes | memoryview) -> bool:
        """Write to the session's input, as fast as it reads; False if it has ended."""
        return await self._stream.write(data)

    async def write_eof(self) -> None:
        """Stop writing, so that another client can; the session's input stays open."""
        await self._stream.write_eof()

    async def resize(self, rows: int, columns: int) -> None:
        """Resize the session's terminal, if it has one."""
        await self._stream.control((Tag.ROWS, u64(rows)), (Tag.COLUMNS, u64(columns)))

    async def signal(self, number: int) -> None:
        """Send a signal (1..64) to the session's process group."""
        await self._stream.control((Tag.SIGNAL, u64(number)))

    def close(self) -> None:
        """Detach. Idempotent."""
        self._stream.give_up()


class SessionInput:
    """The input of a session while one client sends. Use it in an `async with`."""

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream = stream
        self._name = name
        self._sent = 0

    async def __aenter__(self) -> SessionInput:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def write(self, data: bytes | memoryview) -> bool:
        """Write, as fast as the session reads; False if it takes no more."""
        self._sent += len(data)
        return await self._stream.write(data)

    async def write_eof(self) -> None:
        """Say that this was all."""
        await self._stream.write_eof()

    async def wait_taken(self) -> None:
        """Wait until the session's pipe or terminal has taken all, after `write_eof`.

        Raises:
            SessionTakesNoInput: the session has ended, or closed its input, before it took all.
        """
        taken = (await self._stream.result()).u64(Tag.BYTES)
        if taken < self._sent:
            raise SessionTakesNoInput(
                f"The session {self._name} reads no more input; it has taken {taken} of"
                f" {self._sent} bytes."
            )

    async def finish(self) -> None:
        """Say that this was all, and wait until it was taken, as `wait_taken` does."""
        await self.write_eof()
        await self.wait_taken()

    def close(self) -> None:
        """Send no more; what the session has not taken is lost. Idempotent."""
        self._stream.give_up()


async def start_session(
    connection: GuestConnection, name: str, spec: ExecSpec, *, deadline_s: float
) -> GuestSession:
    """Start a session; return once its program runs. `spec.detach` and `supervise` do not apply.

    Raises:
        SessionExists: there is one of this name, running or ended.
        ExecNotFound, ExecNotExecutable, ExecBadDirectory, ExecNoSuchUser: the guest refuses.
        GuestRefused: the agent is too old, or as many sessions run as it can keep.
    """
    _require_sessions(connection)
    what = f"starting the session {name} in the guest"
    fields = encode_fields([(Tag.NAME, text(name)), *exec_fields(spec)])
    request = Request(Kind.SESSION_START, what, fields, _START_REFUSALS)
    with counted_start(connection) as others:
        patience_s = deadline_s + others * START_EACH_S
        return _parse_answer(await connection.ask(request, deadline_s=patience_s))


async def list_sessions(connection: GuestConnection, *, deadline_s: float) -> list[GuestSession]:
    """Return the sessions in the order of their starts; none of an agent without sessions."""
    if not has_sessions(connection):
        return []
    found: list[GuestSession] = []
    after = 0
    async with deadline("listing the sessions of the guest", deadline_s):
        while True:
            fields = encode_fields([(Tag.NUMBER, u64(after))])
            request = Request(Kind.SESSION_LIST, "listing the sessions of the guest", fields)
            answer = await connection.ask(request, deadline_s=deadline_s)
            found += [parse_session(each) for each in answer.all(Tag.SESSION)]
            following = answer.find_u64(Tag.NUMBER)
            if following is None:
                return found
            if following <= after or len(found) > SESSIONS_MAX:
                raise GuestProtocolError("The guest's list of sessions does not end.")
            after = following


async def get_session(connection: GuestConnection, name: str, *, deadline_s: float) -> GuestSession:
    """Return one session.

    Raises:
        SessionNotFound: there is none of this name.
    """
    request = _request(connection, Kind.SESSION_LIST, "looking for", name)
    return _parse_answer(await connection.ask(request, deadline_s=deadline_s))


async def attach_session(
    connection: GuestConnection,
    name: str,
    view: AttachSpec,
    *,
    deadline_s: float,
    on_wait: OnWait | None = None,
) -> SessionAttachment:
    """Read a session's output, and write to it if the view says so.

    Raises:
        SessionNotFound: there is none of this name.
        SessionBusy, SessionEnded, SessionTakesNoInput: nothing can be written.
    """
    fields = _attach_fields(view)
    request = _request(connection, Kind.SESSION_ATTACH, "attaching to", name, *fields)
    stream, event = await _open(connection, request, deadline_s=deadline_s, on_wait=on_wait)
    try:
        return SessionAttachment(stream, _parse_answer(event), event.u64(Tag.OFFSET))
    except GuestProtocolError:
        stream.give_up()
        raise


async def open_session_input(
    connection: GuestConnection,
    name: str,
    *,
    end_input: bool,
    deadline_s: float,
    on_wait: OnWait | None = None,
) -> SessionInput:
    """Become the one who writes to a session. `end_input`: its input ends with what is sent.

    Raises: as `attach_session`.
    """
    flags = EOF_FLAG if end_input else 0
    request = _request(connection, Kind.SESSION_SEND, "sending to", name, (Tag.FLAGS, u64(flags)))
    stream, _ = await _open(connection, request, deadline_s=deadline_s, on_wait=on_wait)
    return SessionInput(stream, name)


async def signal_session(
    connection: GuestConnection, name: str, number: int, *, deadline_s: float
) -> None:
    """Send a signal (1..64) to a session's process group; SIGKILL to all that it has started.

    Raises:
        SessionNotFound: there is none of this name.
        SessionEnded: it has ended.
    """
    signal = (Tag.SIGNAL, u64(number))
    request = _request(connection, Kind.SESSION_SIGNAL, "signalling", name, signal)
    await connection.ask(request, deadline_s=deadline_s)


async def wait_session(
    connection: GuestConnection, name: str, *, on_wait: OnWait | None = None
) -> ExitStatus:
    """Wait for a session's end, as long as it takes.

    Raises:
        SessionNotFound: there is none of this name, or it was deleted.
    """
    request = _request(connection, Kind.SESSION_WAIT, "waiting for", name)
    ticket = await connection.admit(Lane.COMMANDS, on_wait=on_wait)
    async with await connection.open_stream(request, ticket) as stream:
        return parse_exit_status(await stream.result())


async def delete_session(connection: GuestConnection, name: str, *, deadline_s: float) -> None:
    """Forget a session that has ended, and its output.

    Raises:
        SessionNotFound: there is none of this name.
        SessionRunning: it has not ended.
    """
    request = _request(connection, Kind.SESSION_DELETE, "deleting", name)
    await connection.ask(request, deadline_s=deadline_s)


def has_sessions(connection: GuestConnection) -> bool:
    """Tell whether the agent keeps sessions."""
    return Feature.SESSIONS in connection.hello.features


def parse_session(untrusted: bytes) -> GuestSession:
    """Return what the guest tells of a session.

    Raises:
        GuestProtocolError: a field is missing or out of range.
    """
    fields = parse_fields(untrusted)
    name = fields.text(Tag.NAME)
    if not _NAME.fullmatch(name):
        raise GuestProtocolError("The guest sent a session with an invalid name.")
    flags = fields.u64(Tag.FLAGS)
    ended_ns = fields.find_i64(Tag.ENDED_NS)
    size = fields.u64(Tag.SIZE)
    return GuestSession(
        name=name,
        untrusted_argv=fields.all(Tag.ARG),
        pid=fields.u64(Tag.PID, most=2**31 - 1) if ended_ns is None else None,
        is_terminal=bool(flags & TTY_FLAG),
        takes_input=bool(flags & STDIN_FLAG),
        started_ns=fields.i64(Tag.STARTED_NS),
        ended_ns=ended_ns,
        exit=None if ended_ns is None else parse_exit_status(fields),
        kept_from=fields.u64(Tag.OFFSET, most=size),
        size=size,
        readers=fields.u64(Tag.READERS),
    )


def _attach_fields(view: AttachSpec) -> Iterator[tuple[Tag, bytes]]:
    flags = (FOLLOW_FLAG if view.follow else 0) | (INPUT_FLAG if view.with_input else 0)
    yield Tag.FLAGS, u64(flags)
    yield Tag.OFFSET, u64(view.position)
    if view.lines is not None:
        yield Tag.LINES, u64(view.lines)
    if view.since_ns is not None:
        yield Tag.SINCE_NS, i64(view.since_ns)
    if view.terminal is not None:
        yield Tag.ROWS, u64(view.terminal[0])
        yield Tag.COLUMNS, u64(view.terminal[1])


async def _open(
    connection: GuestConnection, request: Request, *, deadline_s: float, on_wait: OnWait | None
) -> tuple[Stream, Fields]:
    ticket = await connection.admit(Lane.COMMANDS, on_wait=on_wait)
    async with deadline(request.what, deadline_s):
        stream = await connection.open_stream(request, ticket)
        return stream, await stream.first_event()


def _request(
    connection: GuestConnection, kind: Kind, what: str, name: str, *fields: tuple[Tag, bytes]
) -> Request:
    _require_sessions(connection)
    encoded = encode_fields([(Tag.NAME, text(name)), *fields])
    return Request(kind, f"{what} the session {name} in the guest", encoded, _REFUSALS)


def _require_sessions(connection: GuestConnection) -> None:
    if not has_sessions(connection):
        raise GuestRefused(
            "Until it is restarted, the VM runs the agent of an older banger, which cannot keep"
            " sessions.",
            hint="banger vm restart NAME",
        )


def _parse_answer(fields: Fields) -> GuestSession:
    return parse_session(fields.bytes(Tag.SESSION))


def _parse_exit(fields: Fields) -> ExitStatus | None:
    has_ended = fields.find(Tag.STATUS) is not None or fields.find(Tag.SIGNAL) is not None
    return parse_exit_status(fields) if has_ended else None


def _parse_gap(untrusted: bytes) -> Gap:
    if len(untrusted) != _GAP.size:
        raise GuestProtocolError("The guest sent a gap that is not a number.")
    return Gap(int(_GAP.unpack(untrusted)[0]))
