"""An image with all that layers can say, of any size; the same for the same number."""

from __future__ import annotations

import os
import random
import struct
import tarfile
from collections.abc import Iterable, Iterator

from tests.support.tars import Member, directory, hard_link, make_tar, symlink

CAP_NET_RAW = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
MODES = (0o644, 0o600, 0o755, 0o4755, 0o2755, 0o6711, 0o444)
OWNERS = (0, 1, 33, 1000, 65_500)
PER_FOLDER = 97


def make_big_layers(files: int, *, devices: bool) -> list[bytes]:
    """Return the tars of three layers, of so many files in all.

    Device nodes can only be made again by somebody who is root outside of namespaces, too.
    """
    lower, middle = files * 6 // 10, files * 3 // 10
    layers = (
        [*_lower(lower), *(_devices() if devices else ())],
        list(_middle(lower, middle)),
        list(_upper(lower, files - lower - middle)),
    )
    return [make_tar(*_with_folders(members)) for members in layers]


def _with_folders(members: Iterable[Member]) -> Iterator[Member]:
    """Yield the members, each behind its directories, as builders write them.

    What the time of a directory is that no layer names is left open by the specification.
    """
    known = {""}
    for member in members:
        path = os.fsdecode(member.name)
        parts = path.split("/")[:-1]
        for folder in ("/".join(parts[: depth + 1]) for depth in range(len(parts))):
            if folder not in known:
                known.add(folder)
                yield directory(os.fsencode(folder), mtime=len(known))
        if member.kind == tarfile.DIRTYPE:
            known.add(path)
        yield member


def _name(number: int, top: str) -> str:
    return f"{top}/{number // PER_FOLDER % 40}/{number // PER_FOLDER}/f{number}"


def _file(number: int, top: str) -> Member:
    """Return a file whose facts are drawn from its number."""
    chance = random.Random(f"{top}{number}")
    xattrs = {"user.number": str(number).encode() + b"\0\xff"} if number % 11 == 0 else {}
    if number % 101 == 0:
        xattrs["security.capability"] = CAP_NET_RAW
    return Member(
        _name(number, top),
        chance.randbytes(chance.choice((0, 1, 30, 700, 5000))),
        mode=chance.choice(MODES),
        uid=chance.choice(OWNERS),
        gid=chance.choice(OWNERS),
        mtime=chance.randrange(1, 2**31),
        xattrs=xattrs,
    )


def _lower(count: int) -> Iterator[Member]:
    yield directory("a", 0o751, uid=1, gid=2, mtime=86400)
    yield directory("a/closed", 0o700, uid=33, gid=33, mtime=7)
    yield directory("a/sticky", 0o1777, mtime=9, xattrs={"user.folder": b"yes"})
    for number in range(count):
        yield _file(number, "a")
        if number % 13 == 0:
            yield hard_link(f"a/links/l{number}", _name(number, "a"))
        if number % 17 == 0:
            yield symlink(f"a/links/s{number}", f"../{number}/nowhere")
    yield Member("a/pipe", kind=tarfile.FIFOTYPE, mode=0o622, mtime=5)
    yield Member(b"a/raw\xff\xfe/" + b"n" * 200, b"raw", mtime=6)
    yield Member("/".join(["a/deep", "d" * 200, "e" * 200]), b"deep", mtime=6)
    for name in ("gone/x/y", "opaque/old", "opaque/sub/old", "folder/in", "plain"):
        yield Member(name, name.encode(), mtime=11)


def _middle(lower: int, count: int) -> Iterator[Member]:
    """Whiteouts, an opaque directory, kinds that change, links across layers, files replaced."""
    yield Member(".wh.gone")
    yield directory("opaque", 0o750, uid=7, gid=7, mtime=12)
    yield Member("opaque/.wh..wh..opq")
    yield Member("opaque/new", b"new", mtime=13)
    yield Member("folder", b"a file now", mtime=14)
    yield directory("plain", 0o711, mtime=15)
    yield Member("plain/x", b"a directory now", mtime=16)
    for number in range(count):
        if number < lower and number % 10 == 0:
            yield _file(number, "a") if number % 20 else Member(_whiteout(_name(number, "a")))
        elif number < lower and number % 23 == 0:
            yield hard_link(f"b/across{number}", _name(number, "a"))
        else:
            yield _file(number, "b")


def _upper(lower: int, count: int) -> Iterator[Member]:
    yield directory("a", 0o755, uid=5, gid=5, mtime=86401)
    for number in range(count):
        if number < lower and number % 29 == 1:
            yield Member(_name(number, "a"), b"replaced above", uid=9, mtime=17)
        else:
            yield _file(number, "c")


def _whiteout(name: str) -> str:
    folder, _, last = name.rpartition("/")
    return f"{folder}/.wh.{last}"


def _devices() -> Iterator[Member]:
    for name, kind, device in (
        ("null", tarfile.CHRTYPE, (1, 3)),
        ("loop", tarfile.BLKTYPE, (7, 300)),
    ):
        yield Member(f"dev/{name}", kind=kind, device=device, mode=0o660, gid=6, mtime=18)
