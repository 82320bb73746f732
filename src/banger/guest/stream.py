"""One stream of a connection: a request, its data in both directions, and its end.

Owns the stream's windows and waiters; touches the link it was opened on. Only the
agent's RESULT or ERROR ends a stream, so it stays in the connection's table until
then, even after the host has given it up (CLOSE).

A waiter is woken by its condition, by the stream's end, or by the link's failure
(hazard H2). Cancelling a wait, also by a deadline, gives the stream up: CLOSE is sent
at once, which kills a command's process group (H3), and the connection stays usable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from banger.errors import BangerError, GuestProtocolError, GuestRefused
from banger.guest.codec import (
    MAX_PAYLOAD,
    Frame,
    FrameType,
    Kind,
    encode_credit,
    encode_data,
    encode_frame,
    parse_credit,
)
from banger.guest.fields import Fields, Tag, encode_fields, parse_fields
from banger.guest.flow_control import Inbox, Sink, WindowPool
from banger.guest.link import Link

HOST_TO_GUEST = 0
BATCH_BYTES = 8 * MAX_PAYLOAD
"""Most data in one write: a window. Writing one frame at a time cost a fifth more CPU."""

_SENDS = frozenset(
    {
        Kind.EXEC,
        Kind.TAR_IN,
        Kind.CONNECT,
        Kind.SFTP,
        Kind.ACCEPT,
        Kind.UDP,
        Kind.SESSION_ATTACH,
        Kind.SESSION_SEND,
    }
)
_WORK = _SENDS | {
    Kind.TAR_OUT,
    Kind.LIST,
    Kind.READ,
    Kind.CHECKSUM,
    Kind.SESSION_START,
    Kind.SESSION_WAIT,
}
_RECEIVES = {
    Kind.EXEC: (1, 2),
    Kind.TAR_OUT: (1,),
    Kind.CONNECT: (1,),
    Kind.LIST: (1,),
    Kind.READ: (1,),
    Kind.PROCESSES: (1,),
    Kind.CHANGES: (1,),
    Kind.SFTP: (1,),
    Kind.ACCEPT: (1,),
    Kind.UDP: (1,),
    Kind.SESSION_ATTACH: (1,),
}


@dataclass(frozen=True)
class Request:
    """A request to the agent. `what` describes it in errors: "running `make` in the guest".

    `refusals`: the error class for an agent's code, where GuestRefused is too general.
    """

    kind: Kind
    what: str
    fields: bytes = b""
    refusals: Mapping[str, type[GuestRefused]] = field(default_factory=dict)


class Stream:
    """One open request. Use it in an `async with`, or call `finish`."""

    def __init__(
        self, link: Link, number: int, *, request: Request, window: int, pool: WindowPool
    ) -> None:
        self._link = link
        self._number = number
        self._request = request
        self._credit = window if request.kind in _SENDS else 0
        self._inbox = Inbox(_RECEIVES.get(request.kind, ()), window=window, pool=pool)
        self._sink: Sink | None = None
        self._event: Fields | None = None
        self._result: Fields | None = None
        self._refusal: GuestRefused | None = None
        self._given_up = False
        self._waiters: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give_up()

    # --- called by the connection ---

    @property
    def is_work(self) -> bool:
        """Whether the request uses the guest, rather than only observing it."""
        return self._request.kind in _WORK

    @property
    def ended(self) -> bool:
        """Whether the agent has sent the last frame of this stream."""
        return self._result is not None or self._refusal is not None

    def accept(self, frame: Frame) -> None:
        """Accept a frame from the guest.

        Raises:
            GuestProtocolError: the frame is not allowed on this stream.
        """
        match frame.type:
            case FrameType.DATA:
                if self._given_up or self._accept_data(frame):
                    return
            case FrameType.EOF:
                if not self._given_up:
                    self._inbox.end(frame.channel)
            case FrameType.CREDIT:
                self._accept_credit(frame)
            case FrameType.EVENT:
                self._accept_event(frame)
            case FrameType.RESULT:
                self._result = parse_fields(frame.payload)
                self._inbox.give_back()
            case FrameType.ERROR:
                self._refusal = _parse_refusal(frame.payload, self._request)
                self._inbox.give_back()
            case _:
                raise GuestProtocolError("The guest sent a frame that only the host may send.")
        self.wake()

    def wake(self) -> None:
        """Wake every waiter to check its condition again."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # --- called by the request's owner ---

    async def write(self, data: bytes | memoryview) -> bool:
        """Send data as the guest grants credit; False if the stream ended before all was sent."""
        rest = memoryview(data)
        while rest:
            await self._until(lambda: self._credit > 0 or self._is_over)
            await self._drain()
            if self._is_over:
                return False
            size = min(len(rest), self._credit, BATCH_BYTES)
            self._credit -= size
            self._link.send(encode_data(self._number, HOST_TO_GUEST, data=rest[:size]))
            rest = rest[size:]
        return True

    async def write_eof(self) -> None:
        """Send the end of the data."""
        await self._drain()
        if not self._is_over:
            self._link.send(encode_frame(FrameType.EOF, stream=self._number, channel=HOST_TO_GUEST))

    async def control(self, *fields: tuple[Tag, bytes]) -> None:
        """Send a CONTROL frame; do nothing if the stream has ended."""
        await self._drain()
        if not self._is_over:
            self._link.send(
                encode_frame(FrameType.CONTROL, stream=self._number, payload=encode_fields(fields))
            )

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next data and its channel, or None at the end.

        Raises:
            GuestRefused: the request failed.
        """
        await self._until(lambda: self._inbox.has_data or self._inbox.all_ended or self._is_over)
        taken = self._inbox.take()
        if taken is None:
            if self._refusal is not None:
                raise self._refusal
        else:
            self._grant(taken[0])
        return taken

    async def read_beside(self, sink: Sink) -> tuple[int, bytes] | None:
        """Like `read`, but offer to `sink` what comes meanwhile: what it takes is not returned.

        So data that can be passed on at once is neither copied nor does it wake a task.
        """
        self._sink = sink
        try:
            return await self.read()
        finally:
            self._sink = None

    async def next_event(self) -> Fields | None:
        """Return the next EVENT, or None if the request has succeeded without another EVENT.

        Raises:
            GuestRefused: the request failed.
        """
        await self._until(lambda: self._event is not None or self.ended)
        event, self._event = self._event, None
        if event is None and self._refusal is not None:
            raise self._refusal
        return event

    async def first_event(self) -> Fields:
        """Return the EVENT that reports the request's start; give the stream up on failure.

        Raises:
            GuestRefused: the request failed.
        """
        try:
            event = await self.next_event()
        except BaseException:
            self.give_up()
            raise
        if event is None:
            raise GuestProtocolError(f"{self._request.what} ended before it began.")
        return event

    async def result(self) -> Fields:
        """Return the RESULT.

        Raises:
            GuestRefused: the request failed.
        """
        await self._until(lambda: self.ended)
        if self._refusal is not None:
            raise self._refusal
        assert self._result is not None
        return self._result

    def give_up(self) -> None:
        """Send CLOSE, once, unless the stream has ended. Unread data is dropped."""
        if self._is_over or self._link.failure is not None:
            return
        self._given_up = True
        self._inbox.clear()
        # A link that breaks at this point wakes its waiters itself.
        with contextlib.suppress(BangerError):
            self._link.send(encode_frame(FrameType.CLOSE, stream=self._number))
        self.wake()

    async def finish(self, *, grace_s: float) -> bool:
        """Give the stream up and wait for the agent's answer; True if it came in time."""
        self.give_up()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._until(lambda: self.ended)
        return self.ended

    @property
    def _is_over(self) -> bool:
        return self.ended or self._given_up

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for `condition`, checked again after each frame. Raise the link's failure."""
        while not condition():
            self._link.check()
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            with self._given_up_when_cancelled():
                await waiter

    async def _drain(self) -> None:
        with self._given_up_when_cancelled():
            await self._link.drain()

    @contextlib.contextmanager
    def _given_up_when_cancelled(self) -> Iterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            self.give_up()
            raise

    def _accept_data(self, frame: Frame) -> bool:
        """Return whether the sink has taken all of it."""
        self._inbox.put(frame.channel, frame.payload, sink=self._sink)
        if self._sink is None or self._inbox.has_data:
            return False
        self._grant(frame.channel)
        return True

    def _grant(self, channel: int) -> None:
        if not self._is_over and (size := self._inbox.claim_grant(channel)):
            self._link.send(encode_credit(self._number, channel, size=size))

    def _accept_credit(self, frame: Frame) -> None:
        if frame.channel != HOST_TO_GUEST or self._request.kind not in _SENDS:
            raise GuestProtocolError("The guest granted data on a channel that takes none.")
        self._credit += parse_credit(frame.payload)

    def _accept_event(self, frame: Frame) -> None:
        # One unread event is kept. Each event of these kinds says everything, so the newest
        # replaces it; other requests have only one event.
        if self._event is not None and self._request.kind not in (Kind.LISTENERS, Kind.LISTEN):
            raise GuestProtocolError("The guest sent an event that was not asked for.")
        self._event = parse_fields(frame.payload)


def _parse_refusal(untrusted: bytes | memoryview, request: Request) -> GuestRefused:
    fields = parse_fields(untrusted)
    code = fields.text(Tag.CODE)
    untrusted_message = (fields.find(Tag.MESSAGE) or b"")[:400].decode("utf-8", "replace")
    refusal = request.refusals.get(code, GuestRefused)(
        f"{request.what[:1].upper()}{request.what[1:]} failed: {_plain(untrusted_message) or code}."
    )
    refusal.guest_code = code
    refusal.guest_errno = fields.find_u64(Tag.ERRNO, most=4095) or 0
    return refusal


def _plain(untrusted_text: str) -> str:
    """Return the text made safe for a terminal, without a trailing full stop."""
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in untrusted_text)
    return plain.rstrip(".")
