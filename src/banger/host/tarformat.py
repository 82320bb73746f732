"""Tar headers as bytes: GNU's format, with pax records for other attributes. Pure.

Written by hand: names are bytes of any length, and owners' names are not looked up.
"""

from __future__ import annotations

from collections.abc import Iterable

BLOCK = 512
END_OF_TAR = bytes(2 * BLOCK)

FILE, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = (
    b"0", b"1", b"2", b"3", b"4", b"5", b"6",
)  # fmt: skip
LONG_NAME, LONG_LINK, PAX = b"L", b"K", b"x"

_OCTAL_12_MAX = 8**11 - 1


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


def padding(size: int) -> bytes:
    """Return the padding of the last block of a content of this size."""
    return bytes(-size % BLOCK)


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
