"""Watch a directory of a guest for changes: CHANGES (guest protocol, section 6).

Owns the stream of the request. A hostile guest may send any record (hazard E2): names are checked
to stay below the directory, and no more than one record and one frame are kept. Who does not read
holds the guest's agent up, and nothing else; what the guest's kernel then loses is `MISSED`.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import AsyncGenerator, AsyncIterator
from enum import IntEnum
from typing import NamedTuple

from banger.errors import GuestPathNotFound, GuestProtocolError, GuestRefused
from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.deadlines import deadline
from banger.guest.fields import Tag, encode_fields, name
from banger.guest.listing import NAME_BYTES_MAX, is_below
from banger.guest.outdated import explain_outdated
from banger.guest.stream import Request, Stream

RECORD = struct.Struct("<IB3x")


class ChangeKind(IntEnum):
    """What happened to a name."""

    READY = 0
    """Changes are reported from here on; has no name."""
    CREATED = 1
    MODIFIED = 2
    DELETED = 3
    """Without a name: the directory that is watched."""
    MISSED = 4
    """Changes were lost; has no name."""


class GuestChange(NamedTuple):
    """A change; the name is relative to the directory that is watched, and stays below it."""

    kind: ChangeKind
    name: bytes


@contextlib.asynccontextmanager
async def watch_changes(
    connection: GuestConnection, path: bytes, *, deadline_s: float
) -> AsyncIterator[AsyncIterator[GuestChange]]:
    """Watch a directory for a block: yield its changes from the block's beginning on.

    The iterator ends when the directory is gone. The deadline is for the beginning, with the wait
    for its turn.

    Raises:
        DeadlineExceeded: the guest does not begin in time.
        GuestPathNotFound: there is no such directory.
        GuestRefused: the agent failed, or is too old to watch files.
    """
    what = "watching files in the guest"
    fields = encode_fields([(Tag.PATH, name(path))])
    request = Request(Kind.CHANGES, what, fields, {"not-found": GuestPathNotFound})
    try:
        async with contextlib.AsyncExitStack() as held:
            async with deadline(what, deadline_s):
                stream = await held.enter_async_context(await connection.open_stream(request))
                changes = await held.enter_async_context(contextlib.aclosing(_changes(stream)))
                first = await anext(changes, None)
            if first is None or first.kind is not ChangeKind.READY:
                raise GuestProtocolError("The guest did not report that it is watching.")
            yield changes
    except GuestRefused as error:
        raise explain_outdated(error, "watch files") from error


async def _changes(stream: Stream) -> AsyncGenerator[GuestChange, None]:
    untrusted = b""
    while (taken := await stream.read()) is not None:
        found, untrusted = parse_changes(untrusted + taken[1])
        for change in found:
            yield change
    await stream.result()
    if untrusted:
        raise GuestProtocolError("The guest sent the record of a change that is cut off.")


def parse_changes(untrusted: bytes) -> tuple[list[GuestChange], bytes]:
    """Return the whole records at the beginning, and the rest. Pure.

    Raises:
        GuestProtocolError: a record is invalid.
    """
    found, at = [], 0
    while len(untrusted) - at >= RECORD.size:
        length, kind = RECORD.unpack_from(untrusted, at)
        if length > NAME_BYTES_MAX or kind > ChangeKind.MISSED:
            raise GuestProtocolError("The guest sent the record of a change that is out of range.")
        start = at + RECORD.size
        if len(untrusted) < start + length:
            break
        at = start + length
        untrusted_name = untrusted[start:at]
        if untrusted_name and not is_below(untrusted_name):
            raise GuestProtocolError(f"The guest sent a bad file name: {untrusted_name!r:.200}.")
        found.append(GuestChange(ChangeKind(kind), untrusted_name))
    return found, untrusted[at:]
