"""A blob's tar as a stream: packed with gzip, zstd or not at all, bounded and counted.

Reads one file, by position: any number of threads may share the descriptor. Holds at most
one piece of CHUNK_BYTES unpacked, however densely it was packed, and zstd's window.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from typing import IO, cast

import zstandard
from msgspec import Struct

from banger.errors import ImageInvalid
from banger.images.layers.limits import require_density
from banger.tar.header import Malformed
from banger.tar.read import ChunkSource

CHUNK_BYTES = 512 * 1024
READ_BYTES = 128 * 1024
ZSTD_WINDOW_MAX = 2**25
"""32 MiB, which is what `zstd --ultra -20` needs. More would be a share of our memory."""
GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
OTHER_MAGICS = {b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2"}


class Blob(Struct, frozen=True):
    """Where a tar lies: a part of an open file."""

    fd: int
    offset: int
    size: int


class TarStream(ChunkSource):
    """What is unpacked of a blob, read once from beginning to end."""

    def __init__(self, blob: Blob, *, on_bytes: Callable[[bytes], object] | None = None) -> None:
        """`on_bytes` gets every unpacked byte once, also those that are skipped."""
        self._source = _Source(blob)
        chunks, self.is_packed = _unpack(self._source)
        super().__init__(chunks)
        self._on_bytes = on_bytes

    def skip(self, size: int) -> None:
        """Read so many bytes and drop them.

        Raises:
            Malformed: there are fewer.
        """
        if self._on_bytes is None and not self.is_packed:
            if not self._taken:
                self._advance()  # the source is behind the first piece already
            passed = max(0, size - len(self._chunk))
            self._source.pass_over(passed)
            self._taken += passed
            size -= passed
        super().skip(size)

    def drain(self) -> None:
        """Read to the end."""
        while self._advance():
            pass

    def _take_chunk(self) -> bytes | None:
        chunk = super()._take_chunk()
        require_density(self._taken + len(chunk or b""), self._source.position)
        if chunk and self._on_bytes is not None:
            self._on_bytes(chunk)
        return chunk


class _Source:
    """The packed bytes, in order."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self.position = 0

    def pass_over(self, size: int) -> None:
        if size > self._blob.size - self.position:
            raise Malformed("ends in the middle of a file")
        self.position += size

    def read(self, size: int) -> bytes:
        size = min(size, self._blob.size - self.position)
        data = os.pread(self._blob.fd, size, self._blob.offset + self.position)
        if size > 0 and not data:
            raise ImageInvalid("A layer's file ends too early.")
        self.position += len(data)
        return data


def _unpack(source: _Source) -> tuple[Iterator[bytes], bool]:
    """Return the unpacked pieces, and whether they were packed."""
    first = source.read(READ_BYTES)
    if first.startswith(GZIP_MAGIC):
        return _gunzip(source, first), True
    if first.startswith(ZSTD_MAGIC) or (first[1:4] == ZSTD_SKIPPABLE and first[0] & 0xF0 == 0x50):
        source.position = 0
        return _unzstd(source), True
    for magic, name in OTHER_MAGICS.items():
        if first.startswith(magic):
            raise ImageInvalid(f"A layer is compressed with {name}; gzip and zstd are supported.")
    return _plain(source, first), False


def _plain(source: _Source, first: bytes) -> Iterator[bytes]:
    while first:
        yield first
        first = source.read(CHUNK_BYTES)


def _gunzip(source: _Source, data: bytes) -> Iterator[bytes]:
    """Yield the content of one or more gzip members; zeros behind the last one are padding."""
    while data.strip(b"\0"):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            try:
                piece = member.decompress(data, CHUNK_BYTES)
            except zlib.error as error:
                raise ImageInvalid(f"A layer's gzip stream is damaged: {error}.") from error
            if piece:
                yield piece
            data = member.unconsumed_tail
            if not data and not member.eof:
                data = source.read(READ_BYTES)
                if not data and not piece:
                    raise ImageInvalid("A layer's gzip stream ends too early.")
        data = member.unused_data or source.read(READ_BYTES)


def _unzstd(source: _Source) -> Iterator[bytes]:
    unpacker = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_MAX)
    reader = unpacker.stream_reader(
        cast(IO[bytes], source), read_size=READ_BYTES, read_across_frames=True
    )
    while True:
        try:
            piece = reader.read(CHUNK_BYTES)
        except zstandard.ZstdError as error:
            raise ImageInvalid(f"A layer's zstd stream cannot be read: {error}.") from error
        if not piece:
            return
        yield piece
