"""Entries of a layer: names, kinds and attributes that have been checked. Pure.

    Header, pax records, GNU names  ->  Entry

A name is relative to the root and has no empty, `.` or `..` component: one that leaves the root,
or could be read in two ways, is refused (F1).
"""

from __future__ import annotations

import stat

from msgspec import Struct

from banger.errors import ImageInvalid, ImageUnsupported
from banger.images.layers.limits import ATTRIBUTE_BYTES_MAX
from banger.tar import format as tar
from banger.tar.format import PATH_BYTES_MAX, XATTR, shown
from banger.tar.header import Header
from banger.tar.read import parse_path

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"
AUFS = b".wh..wh."
"""What aufs kept for itself; old images have some of it, and it means nothing."""

LINK = 0
"""The kind of a hard link; the others are stat's S_IF."""
_KINDS = {
    tar.FILE: stat.S_IFREG,
    tar.HARD_LINK: LINK,
    tar.SYMLINK: stat.S_IFLNK,
    tar.CHARACTER: stat.S_IFCHR,
    tar.BLOCK_DEVICE: stat.S_IFBLK,
    tar.DIRECTORY: stat.S_IFDIR,
    tar.FIFO: stat.S_IFIFO,
}
_ID_MAX = 2**32 - 1
_SIZE_MAX = 2**40
MINOR_BITS = 20
_MAJOR_MAX, _MINOR_MAX = 2**12 - 1, 2**MINOR_BITS - 1
_KEPT_ATTRIBUTES = (b"user.", b"security.", b"trusted.")
"""What a squashfs can hold; POSIX ACLs (`system.`) it cannot."""
_OVERLAY_ATTRIBUTES = b"trusted.overlay."


class Entry(Struct, gc=False):
    """One entry of a layer, and what it becomes in the tree.

    There may be hundreds of thousands: without garbage collection, and one object for each.
    """

    path: bytes
    """Relative to the root; empty: the root itself, or the tree has taken the name over."""
    kind: int
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int = 0
    offset: int = 0
    """Where the content begins in the layer's tar."""
    link: bytes = b""
    """A symbolic link's target; of a hard link, the other name's path."""
    device: int = 0
    """Major number, and the minor one in 20 bits."""
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    layer: int = 0
    """Which of the layers has the content."""
    place: object = None
    """The directory of the tree that it is written in (`emit`), and `name` there."""
    name: bytes = b""
    is_overlay: bool = False
    """It means something to overlayfs, which the guest mounts the root with: a device 0,0 hides
    a name, some attributes hide what is below."""


def parse_entry(header: Header, records: dict[bytes, bytes], *, offset: int) -> Entry:
    """Return the entry of a header to which the extensions have been applied.

    Raises:
        ImageInvalid, Malformed: a value is not possible.
        ImageUnsupported: it is of a kind that we cannot keep.
    """
    kind = _kind(header)
    path = parse_path(header.name)
    if not (0 <= header.uid <= _ID_MAX and 0 <= header.gid <= _ID_MAX):
        raise ImageInvalid(f"{shown(path)} in a layer has a negative or too large owner.")
    if not 0 <= header.size <= _SIZE_MAX:
        raise ImageInvalid(f"{shown(path)} in a layer has the size {header.size}.")
    entry = Entry(
        path=path,
        kind=kind,
        mode=header.mode,
        uid=header.uid,
        gid=header.gid,
        mtime=min(max(header.mtime, 0), _ID_MAX),  # what a squashfs has bits for
        xattrs=_attributes(records, path) if records else (),
    )
    if kind == stat.S_IFREG:
        entry.size, entry.offset = header.size, offset
    elif kind == LINK:
        entry.link = parse_path(header.link)
    elif kind == stat.S_IFLNK:
        entry.link = _target(header.link, path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        entry.device = _device(header, path)
    entry.is_overlay = (kind == stat.S_IFCHR and not entry.device) or any(
        name.startswith(_OVERLAY_ATTRIBUTES) for name, _ in entry.xattrs
    )
    return entry


def _kind(header: Header) -> int:
    if header.kind == tar.FILE and header.name.endswith(b"/"):
        return stat.S_IFDIR  # as v7 wrote directories
    kind = _KINDS.get(header.kind)
    if kind is None:
        raise ImageUnsupported(
            f"{shown(header.name)} in a layer has the unsupported type {shown(header.kind)}."
        )
    return kind


def _target(untrusted: bytes, path: bytes) -> bytes:
    if not 0 < len(untrusted) <= PATH_BYTES_MAX:
        raise ImageInvalid(f"The symbolic link {shown(path)} in a layer has an invalid target.")
    return untrusted


def _device(header: Header, path: bytes) -> int:
    major, minor = header.major, header.minor
    if not (0 <= major <= _MAJOR_MAX and 0 <= minor <= _MINOR_MAX):
        raise ImageInvalid(
            f"The device {shown(path)} in a layer has the invalid number {major},{minor}."
        )
    return major << MINOR_BITS | minor


def _attributes(records: dict[bytes, bytes], path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return the extended attributes that can be kept.

    Raises:
        ImageInvalid: one is larger than can be.
    """
    found = []
    for key, value in records.items():
        name = key.removeprefix(XATTR)
        if name == key or not name.startswith(_KEPT_ATTRIBUTES):
            continue
        if len(name) > 255 or len(value) > ATTRIBUTE_BYTES_MAX or b"\0" in name:
            raise ImageInvalid(f"{shown(path)} in a layer has an attribute that is too large.")
        found.append((name, value))
    return tuple(sorted(found))
