"""A tar stream to headers, extensions applied; names checked; bounded access to contents. Pure.

Holds one chunk of the stream, and one header's extensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from banger.tar.format import (
    BLOCK,
    COMPONENT_BYTES_MAX,
    LONG_LINK,
    LONG_NAME,
    PATH_BYTES_MAX,
    PAX,
    PAX_GLOBAL,
    shown,
)
from banger.tar.header import (
    Header,
    Malformed,
    Records,
    apply_pax,
    parse_header,
    parse_pax,
    require_harmless,
)

END = bytes(BLOCK)
EXTENSION_BYTES_MAX = 1024 * 1024
"""Of the content of a pax or GNU header."""


class Source(Protocol):
    """The bytes of a tar, read once from beginning to end."""

    @property
    def position(self) -> int:
        """Number of bytes read or skipped."""

    def read(self, size: int) -> bytes:
        """Return `size` bytes; fewer only at the end."""

    def skip(self, size: int) -> None:
        """Drop `size` bytes. Raises Malformed if there are fewer."""


class ChunkSource:
    """A source of chunks as they arrive. Holds one chunk."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")
        self._taken = 0

    @property
    def position(self) -> int:
        """Number of bytes read or skipped."""
        return self._taken - len(self._chunk)

    def read(self, size: int) -> bytes:
        """Return `size` bytes; fewer only at the end."""
        if len(self._chunk) >= size:
            taken, self._chunk = self._chunk[:size], self._chunk[size:]
            return bytes(taken)
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yield `size` bytes in pieces; fewer only at the end."""
        while size and (self._chunk or self._advance()):
            taken = self._chunk[:size]
            self._chunk = self._chunk[len(taken) :]
            size -= len(taken)
            yield taken

    def skip(self, size: int) -> None:
        """Drop `size` bytes.

        Raises:
            Malformed: there are fewer.
        """
        if size - sum(map(len, self.pieces(size))):
            raise Malformed("ends in the middle of a file")

    def _advance(self) -> bool:
        """Replace the chunk by the next one; return False at the end."""
        while (chunk := self._take_chunk()) is not None:
            self._taken += len(chunk)
            self._chunk = memoryview(chunk)
            if chunk:
                return True
        self._chunk = memoryview(b"")
        return False

    def _take_chunk(self) -> bytes | None:
        return next(self._chunks, None)


def next_header(source: Source) -> tuple[Header, Records] | None:
    """Return the next entry's header, extensions applied, and its pax records; None at the end.

    The source then stands at the entry's content, which the caller reads or skips with its
    padding. Only a regular file has content: Go's reader, too, takes the size of others for 0.

    Raises:
        Malformed: the stream violates the format.
    """
    records: Records = {}
    names: dict[bytes, bytes] = {}
    while (block := _next_block(source)) is not None:
        header = parse_header(block)
        if header.kind in (PAX, PAX_GLOBAL):
            found = parse_pax(_read_extension(source, header))
            if header.kind == PAX_GLOBAL:
                require_harmless(found)
            else:
                records |= found
        elif header.kind in (LONG_NAME, LONG_LINK):
            # A text of C, as the names in a header are: nobody sees what is behind its NUL.
            names[header.kind] = _read_extension(source, header).partition(b"\0")[0]
        else:
            header.name = names.get(LONG_NAME, header.name)
            header.link = names.get(LONG_LINK, header.link)
            apply_pax(header, records)
            return header, records
    if records or names:
        raise Malformed("ends right after a header that belongs to an entry")
    return None


def parse_path(untrusted: bytes) -> bytes:
    """Return a name relative to the top, without empty and `.` components.

    Raises:
        Malformed: the name may leave the top, or no file can have it.
    """
    parts = [part for part in untrusted.split(b"/") if part not in (b"", b".")]
    path = b"/".join(parts)
    if not untrusted or b".." in parts:
        raise Malformed(f"has the name {shown(untrusted)}, which could escape the root")
    if len(path) > PATH_BYTES_MAX or any(len(part) > COMPONENT_BYTES_MAX for part in parts):
        raise Malformed(f"has a name that is too long: {shown(untrusted)}")
    return path


def _next_block(source: Source) -> bytes | None:
    """Return the next header block, or None at the end."""
    block = source.read(BLOCK)
    if block == END:
        return None
    if not block and not source.position:
        return None  # a stream without a byte is one without an entry
    if len(block) < BLOCK:
        raise Malformed("ends before its end mark")
    return block


def _read_extension(source: Source, header: Header) -> bytes:
    if not 0 <= header.size <= EXTENSION_BYTES_MAX:
        raise Malformed("has a pax or GNU header that is too long")
    content = source.read(header.size)
    if len(content) < header.size:
        raise Malformed("ends in the middle of a header")
    source.skip(-header.size % BLOCK)
    return content
