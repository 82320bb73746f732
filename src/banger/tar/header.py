"""Tar headers and pax records, parsed strictly. Pure.

Formats: POSIX ustar and pax (pax(1)), GNU tar's long names and base-256 numbers, v7. Where
readers of tar differ, so that two of them would see two trees, the header is refused;
else it means what it means to Go's archive/tar, which wrote nearly all images.

Errors are raised as `Malformed`, whose text continues a sentence ("A layer ...", "The archive
..."); each caller makes an error of its own of it.
"""

from __future__ import annotations

import re

from msgspec import Struct

from banger.tar.format import BLOCK, CONTIGUOUS, FILE, XATTR

_MEANINGFUL = (b"path", b"linkpath", b"size", b"uid", b"gid")
_OCTAL = re.compile(rb"[0-7]+")
_DECIMAL = re.compile(rb"[0-9]{1,20}")
_TIME = re.compile(rb"(-?)([0-9]{1,20})(?:\.([0-9]*))?")


class Malformed(ValueError):
    """The stream violates the format; the text is a predicate: "ends in the middle of a file"."""


Records = dict[bytes, bytes]
"""Keys and values of a pax header."""


class Header(Struct, gc=False):
    """One header block; pax records may override its fields."""

    kind: bytes
    name: bytes
    link: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    major: int = 0
    minor: int = 0
    mtime_fraction_ns: int = 0
    """Nanoseconds after `mtime`; only pax records have them."""


def parse_header(untrusted: bytes) -> Header:
    """Return a header block's fields.

    Raises:
        Malformed: the block is no header.
    """
    if _sum(untrusted) != _number(untrusted[148:156], "checksum"):
        raise Malformed("is not a tar archive, or is damaged: a checksum is wrong")
    header = Header(
        kind=untrusted[156:157],
        name=_text(untrusted[:100]),
        link=_text(untrusted[157:257]),
        mode=_number(untrusted[100:108], "mode") & 0o7777,
        uid=_number(untrusted[108:116], "user"),
        gid=_number(untrusted[116:124], "group"),
        size=_number(untrusted[124:136], "size"),
        mtime=_number(untrusted[136:148], "time"),
    )
    magic = untrusted[257:265]
    if magic in (b"ustar\x0000", b"ustar  \0"):
        header.major = _number(untrusted[329:337], "device")
        header.minor = _number(untrusted[337:345], "device")
    if magic == b"ustar\x0000":
        # star(1) has times behind a shorter prefix.
        prefix = _text(untrusted[345 : 476 if untrusted[508:] == b"tar\0" else 500])
        if prefix:
            header.name = prefix + b"/" + header.name
    if header.kind in (b"\0", CONTIGUOUS):
        header.kind = FILE
    return header


def is_header(untrusted: bytes) -> bool:
    """Tell whether a block is a header, or the zeros that end a tar."""
    digits = untrusted[148:156].strip(b" \0")
    if not digits:
        return untrusted == bytes(BLOCK)
    return _OCTAL.fullmatch(digits) is not None and int(digits, 8) == _sum(untrusted)


def parse_pax(untrusted: bytes) -> Records:
    """Return the records of a pax header: `LENGTH KEY=VALUE` and a newline, LENGTH in all.

    Raises:
        Malformed: they are not of this form.
    """
    records: Records = {}
    at = 0
    while at < len(untrusted):
        space = untrusted.find(b" ", at, at + 21)
        length = untrusted[at:space] if space > 0 else b""
        end = at + int(length) if _DECIMAL.fullmatch(length) else 0
        key, equals, value = untrusted[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(untrusted) or untrusted[end - 1 : end] != b"\n" or not equals:
            raise Malformed("has a pax header that cannot be read")
        records[key] = value
        at = end
    return records


def apply_pax(header: Header, records: Records) -> None:
    """Let pax records override a header's fields.

    Raises:
        Malformed: a record's value is not possible.
    """
    for key, value in records.items():
        if key.startswith(b"GNU.sparse."):
            raise Malformed("has a sparse file in a form that is not supported")
        if not value:  # POSIX: as if the record were not there
            continue
        match key:
            case b"path":
                header.name = _whole(value)
            case b"linkpath":
                header.link = _whole(value)
            case b"size":
                header.size = _decimal(value, key)
            case b"uid":
                header.uid = _decimal(value, key)
            case b"gid":
                header.gid = _decimal(value, key)
            case b"mtime":
                header.mtime, header.mtime_fraction_ns = _time(value)


def require_harmless(records: Records) -> None:
    """Check a global pax header: readers differ in whether it changes the entries behind it.

    Raises:
        Malformed: it would.
    """
    for key in records:
        if key in _MEANINGFUL or key.startswith((b"GNU.sparse.", XATTR)):
            raise Malformed(f"has a global pax header with {key[:40]!r}")


def _sum(block: bytes) -> int:
    """Return a header's checksum, to which its own field counts as eight spaces."""
    return sum(block) - sum(block[148:156]) + 8 * 32


def _time(value: bytes) -> tuple[int, int]:
    """Return seconds, rounded down, and the nanoseconds after them."""
    found = _TIME.fullmatch(value)
    if not found:
        raise Malformed("has a pax header with a bad time")
    seconds, fraction_ns = int(found[2]), int((found[3] or b"")[:9].ljust(9, b"0"))
    if not found[1]:
        return seconds, fraction_ns
    return (-seconds - 1, 10**9 - fraction_ns) if fraction_ns else (-seconds, 0)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _whole(value: bytes) -> bytes:
    if b"\0" in value:
        raise Malformed("has a name with a NUL")
    return value


def _number(field: bytes, what: str) -> int:
    """Return an octal number between blanks and NULs, or a base-256 one."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") - (1 << (8 * len(field) - 1))
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if not _OCTAL.fullmatch(digits):
        raise Malformed(f"is not a tar archive, or is damaged: a {what} is not a number")
    return int(digits, 8)


def _decimal(value: bytes, key: bytes) -> int:
    if not _DECIMAL.fullmatch(value):
        raise Malformed(f"has a pax header with a bad {key.decode()}")
    return int(value)
