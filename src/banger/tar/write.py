"""Tar headers and entries as bytes: GNU's format, with pax records for other attributes.

Written by hand: names are bytes of any length, and owners' names are not looked up. Pure, except
that `file_chunks` reads an open file.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator

from banger.tar.format import (
    BLOCK,
    DIRECTORY,
    FILE,
    LONG_LINK,
    LONG_NAME,
    PAX,
    SYMLINK,
    padding,
)

CHUNK_BYTES = 512 * 1024
_OCTAL_12_MAX = 8**11 - 1


class FileShrank(Exception):
    """A file became shorter after its header had been written; `name` is the entry's name."""

    def __init__(self, name: bytes) -> None:
        super().__init__(name)
        self.name = name


def gathered(parts: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """Yield the same bytes in chunks of about CHUNK_BYTES, since each costs a thread switch."""
    with contextlib.closing(parts):
        yield from _gathered(parts)


def _gathered(parts: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= CHUNK_BYTES:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)


def header(
    name: bytes,
    kind: bytes,
    *,
    mode: int,
    size: int,
    mtime_s: int,
    link: bytes = b"",
    owner: tuple[int, int] = (0, 0),
    device: tuple[int, int] = (0, 0),
) -> bytes:
    """Return a header block, preceded by GNU's extra entries for names longer than 100 bytes."""
    extra = b""
    if len(link) > 100:
        extra += _long(LONG_LINK, link)
    if len(name) > 100:
        extra += _long(LONG_NAME, name)
    before = b"%s%07o\0%s%s%s%011o\0" % (
        name[:100].ljust(100, b"\0"),
        mode,
        _number(owner[0], 8),
        _number(owner[1], 8),
        _number(size, 12),
        min(max(mtime_s, 0), _OCTAL_12_MAX),
    )
    after = b"%s%sustar  \0%s%s%s%s" % (
        kind,
        link[:100].ljust(100, b"\0"),
        _owner_name(owner[0]),
        _owner_name(owner[1]),
        _number(device[0], 8),
        _number(device[1], 8),
    )
    after = after.ljust(BLOCK - 156, b"\0")
    # The checksum counts its own field as eight spaces.
    checksum = sum(before) + sum(after) + 8 * 32
    return extra + before + b"%06o\0 " % checksum + after


def pax_header(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a pax header with its content, for the entry that follows."""
    content = b"".join(_record(key, value) for key, value in records)
    return (
        header(b"././@PaxHeader", PAX, mode=0, size=len(content), mtime_s=0)
        + content
        + padding(len(content))
    )


def directory_entry(name: bytes, *, mode: int = 0o755) -> bytes:
    """Return the entry of a directory, owned by root."""
    return header(name + b"/", DIRECTORY, mode=mode, size=0, mtime_s=0)


def file_entry(name: bytes, content: bytes, *, mode: int = 0o644, mtime_s: int = 0) -> bytes:
    """Return the whole entry of a small file, owned by root."""
    return (
        header(name, FILE, mode=mode, size=len(content), mtime_s=mtime_s)
        + content
        + padding(len(content))
    )


def symlink_entry(name: bytes, target: bytes, *, mtime_s: int = 0) -> bytes:
    """Return the entry of a symbolic link, owned by root."""
    return header(name, SYMLINK, mode=0o777, size=0, mtime_s=mtime_s, link=target)


def file_chunks(
    name: bytes,
    fd: int,
    *,
    mode: int | None = None,
    status: os.stat_result | None = None,
    on_content: Callable[[bytes], None] | None = None,
) -> Iterator[bytes]:
    """Yield the entry, owned by root, of an open regular file of any size, at its current length.

    `status` is its fstat(2), if known; `on_content` is called with each part of the content.

    Raises:
        FileShrank: the file became shorter meanwhile.
    """
    status = status or os.fstat(fd)
    mode = stat.S_IMODE(status.st_mode) & 0o777 if mode is None else mode
    yield header(name, FILE, mode=mode, size=status.st_size, mtime_s=status.st_mtime_ns // 10**9)
    yield from content_chunks(name, fd, status.st_size, on_content)


def content_chunks(
    name: bytes, fd: int, size: int, on_content: Callable[[bytes], None] | None = None
) -> Iterator[bytes]:
    """Yield `size` bytes of an open file in chunks, and their padding.

    Raises:
        FileShrank: the file is shorter.
    """
    left = size
    while left:
        part = os.read(fd, min(left, CHUNK_BYTES))
        if not part:
            raise FileShrank(name)
        left -= len(part)
        if on_content is not None:
            on_content(part)
        yield part
    yield padding(size)


def _record(key: bytes, value: bytes) -> bytes:
    """Return `LENGTH KEY=VALUE` and a newline; LENGTH includes its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _long(kind: bytes, name: bytes) -> bytes:
    content = name + b"\0"
    block = header(b"././@LongLink", kind, mode=0, size=len(content), mtime_s=0)
    return block + content + padding(len(content))


def _number(value: int, width: int) -> bytes:
    """Return a numeric field: octal, else base-256."""
    if value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return b"\x80" + value.to_bytes(width - 1, "big")


def _owner_name(number: int) -> bytes:
    return (b"" if number else b"root").ljust(32, b"\0")
