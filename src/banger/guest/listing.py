"""List a guest's files and read their bytes: LIST and READ (guest protocol, section 6).

Owns the stream of each request. A hostile guest may send any record (hazard E2): names are checked
to stay below the requested directory, and their total size is bounded.
A request is at most 1 MiB, so many names are split into several successive requests.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from banger.errors import GuestPathNotFound, GuestProtocolError, GuestRefused
from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.deadlines import deadline
from banger.guest.fields import Tag, encode_fields, name
from banger.guest.outdated import explain_outdated
from banger.guest.stream import Request, Stream
from banger.model.entries import GuestEntry

RECORD = struct.Struct("<IIIIQQqq")
NAME_BYTES_MAX = 4096
"""Linux's PATH_MAX."""
ENTRIES_MAX = 2_000_000
NAMES_BYTES_MAX = 512 * 1024 * 1024
"""Limit for all directories of one call: a guest can make the host use about 1 GiB of memory."""
REQUEST_BYTES = 512 * 1024
SIZE_MAX = 2**63 - 1


async def list_directories(
    connection: GuestConnection, path: bytes, names: Sequence[bytes], *, deadline_s: float
) -> list[GuestEntry]:
    """Return the entries of directories below `path`; an empty name means `path` itself.

    A name that is gone, is no directory, or lies behind a link has no entries.

    Raises:
        GuestPathNotFound: `path` is no directory.
        GuestRefused: the agent failed, or is too old to list files.
    """
    what = "listing files in the guest"
    found: list[GuestEntry] = []
    size = 0
    async with deadline(what, deadline_s):
        for part in _requests(Kind.LIST, what, path, names):
            records = Records()
            async for untrusted_chunk in _received(connection, part):
                records.feed(untrusted_chunk)
                while (entry := records.next_entry()) is not None:
                    found.append(entry)
                    size += len(entry.name)
                if len(found) > ENTRIES_MAX or size > NAMES_BYTES_MAX:
                    raise GuestProtocolError("The guest lists too many files.")
            records.require_end()
    return found


async def read_files(
    connection: GuestConnection, path: bytes, names: Sequence[bytes], *, deadline_s: float
) -> AsyncIterator[GuestEntry | bytes]:
    """Yield each file or symbolic link below `path`: its entry, then its bytes in chunks.

    An entry's chunks add up to its `size` bytes; an empty file has none. A name that is gone is
    left out; the others come in the order of `names`. The deadline covers the whole iteration.

    Raises: as `list_directories`.
    """
    what = "reading files in the guest"
    async with deadline(what, deadline_s):
        for part in _requests(Kind.READ, what, path, names):
            records = Records()
            async for untrusted_chunk in _received(connection, part):
                records.feed(untrusted_chunk)
                for item in records.items():
                    yield item
            records.require_end()


@dataclass
class Records:
    """Parses a stream of records. `left`: bytes of the current content still to come."""

    left: int = 0

    def __post_init__(self) -> None:
        self._untrusted = b""
        self._at = 0

    def feed(self, untrusted_chunk: bytes) -> None:
        """Add the next bytes."""
        self._untrusted = self._untrusted[self._at :] + untrusted_chunk
        self._at = 0

    def next_entry(self) -> GuestEntry | None:
        """Return the next record, or None if more bytes are needed.

        Raises:
            GuestProtocolError: the record is invalid.
        """
        start = self._at + RECORD.size
        if len(self._untrusted) < start:
            return None
        length, mode, uid, gid, size, *rest = RECORD.unpack_from(self._untrusted, self._at)
        if length > NAME_BYTES_MAX or size > SIZE_MAX:
            raise GuestProtocolError("The guest sent a file record that is out of range.")
        if len(self._untrusted) < start + length:
            return None
        untrusted_name = self._untrusted[start : start + length]
        if not is_below(untrusted_name):
            raise GuestProtocolError(f"The guest sent a bad file name: {untrusted_name!r:.200}.")
        self._at = start + length
        return GuestEntry(untrusted_name, mode, uid, gid, size, *rest)

    def items(self) -> Iterator[GuestEntry | bytes]:
        """Yield the available records and chunks, where its content follows each record."""
        while True:
            if self.left:
                chunk = self._untrusted[self._at : self._at + self.left]
                if not chunk:
                    return
                self._at += len(chunk)
                self.left -= len(chunk)
                yield chunk
            elif (entry := self.next_entry()) is not None:
                self.left = entry.size
                yield entry
            else:
                return

    def require_end(self) -> None:
        """Check that no incomplete record or content is left.

        Raises:
            GuestProtocolError: the last record or content was cut off.
        """
        if self.left or self._at < len(self._untrusted):
            raise GuestProtocolError("The guest sent a file record that is cut off.")


def is_below(untrusted_name: bytes) -> bool:
    """Tell whether a name stays below the directory that it is relative to."""
    parts = untrusted_name.split(b"/")
    return b"\0" not in untrusted_name and not {b"", b".", b".."}.intersection(parts)


def _requests(kind: Kind, what: str, path: bytes, names: Sequence[bytes]) -> Iterator[Request]:
    """Yield at least one request; together they cover all names."""
    head = (Tag.PATH, name(path))
    fields, size = [head], 0
    for each in names:
        if size > REQUEST_BYTES:
            yield Request(kind, what, encode_fields(fields), _REFUSALS)
            fields, size = [head], 0
        fields.append((Tag.NAME, name(each)))
        size += len(each) + 6
    yield Request(kind, what, encode_fields(fields), _REFUSALS)


_REFUSALS = {"not-found": GuestPathNotFound}


async def _received(connection: GuestConnection, request: Request) -> AsyncIterator[bytes]:
    try:
        async with await connection.open_stream(request) as stream:
            async for chunk in _chunks(stream):
                yield chunk
    except GuestRefused as error:
        raise explain_outdated(error, "list files") from error


async def _chunks(stream: Stream) -> AsyncIterator[bytes]:
    while (taken := await stream.read()) is not None:
        yield taken[1]
    await stream.result()
