"""Tar headers of layers, parsed strictly. Pure.

Formats: POSIX ustar and pax (pax(1)), GNU tar's long names and base-256 numbers, v7. Where
readers of tar differ, so that two of them would see two images, the header is refused;
else it means what it means to Go's archive/tar, which made nearly all images.
"""

from __future__ import annotations

import re

from msgspec import Struct

from banger.errors import ImageInvalid
from banger.host.tarformat import BLOCK, FILE

CONTIGUOUS, PAX_GLOBAL = b"7", b"g"
EXTENSION_BYTES_MAX = 1024 * 1024
"""Of the content of a pax or GNU header."""

XATTR = b"SCHILY.xattr."
_MEANINGFUL = (b"path", b"linkpath", b"size", b"uid", b"gid")
_OCTAL = re.compile(rb"[0-7]+")
_DECIMAL = re.compile(rb"[0-9]{1,20}")
_TIME = re.compile(rb"(-?[0-9]{1,20})(?:\.[0-9]*)?")


class Header(Struct, gc=False):
    """One header block, as it is written; pax records may override it."""

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


def parse_header(untrusted: bytes) -> Header:
    """Return a header block's fields.

    Raises:
        ImageInvalid: it is none.
    """
    if _sum(untrusted) != _number(untrusted[148:156], "checksum"):
        raise ImageInvalid("A layer is not a tar archive, or is damaged: a checksum is wrong.")
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


def parse_pax(untrusted: bytes) -> dict[bytes, bytes]:
    """Return the records of a pax header: `LENGTH KEY=VALUE` and a newline, LENGTH in all.

    Raises:
        ImageInvalid: they are not of this form.
    """
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(untrusted):
        space = untrusted.find(b" ", at, at + 21)
        length = untrusted[at:space] if space > 0 else b""
        end = at + int(length) if _DECIMAL.fullmatch(length) else 0
        key, equals, value = untrusted[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(untrusted) or untrusted[end - 1 : end] != b"\n" or not equals:
            raise ImageInvalid("A layer has a pax header that cannot be read.")
        records[key] = value
        at = end
    return records


def apply_pax(header: Header, records: dict[bytes, bytes]) -> None:
    """Let pax records override a header's fields.

    Raises:
        ImageInvalid: a record's value is not possible.
    """
    for key, value in records.items():
        if key.startswith(b"GNU.sparse."):
            raise ImageInvalid("A layer has a sparse file in a form that is not supported.")
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
                found = _TIME.fullmatch(value)
                if not found:
                    raise ImageInvalid("A layer has a pax header with a bad time.")
                header.mtime = int(found[1])


def require_harmless(records: dict[bytes, bytes]) -> None:
    """Check a global pax header: readers differ in whether it changes the entries behind it.

    Raises:
        ImageInvalid: it would.
    """
    for key in records:
        if key in _MEANINGFUL or key.startswith((b"GNU.sparse.", XATTR)):
            raise ImageInvalid(f"A layer has a global pax header with {key[:40]!r}.")


def _sum(block: bytes) -> int:
    """Return a header's checksum, to which its own field counts as eight spaces."""
    return sum(block) - sum(block[148:156]) + 8 * 32


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _whole(value: bytes) -> bytes:
    if b"\0" in value:
        raise ImageInvalid("A layer has a name with a NUL.")
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
        raise ImageInvalid(f"A layer is not a tar archive, or is damaged: a {what} is no number.")
    return int(digits, 8)


def _decimal(value: bytes, key: bytes) -> int:
    if not _DECIMAL.fullmatch(value):
        raise ImageInvalid(f"A layer has a pax header with a bad {key.decode()}.")
    return int(value)
