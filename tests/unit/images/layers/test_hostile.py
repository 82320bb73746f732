"""F1: the hostile corpus. Each layer is refused with a typed error, in bounded time and memory.

What is harmless in the same fields is in `test_merge`.
"""

from __future__ import annotations

import contextlib
import gzip
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import BangerError, ImageInvalid, ImageUnsupported
from banger.images.layers import limits, work
from banger.tar.header import Malformed, parse_header, parse_pax
from banger.tar.read import parse_path
from banger.tar.write import pax_header
from tests.support.tars import Member, digest, directory, hard_link, make_tar, symlink
from tests.unit.images.layers.merging import contents, merge, names

FILE = make_tar(Member("a", b"content"))


def pax(**records: str) -> bytes:
    return make_tar(Member("a", pax={key.replace("__", "."): v for key, v in records.items()}))


def changed(at: int, field: bytes) -> bytes:
    """Return FILE with another field in its first header, and the right checksum for it."""
    block = bytearray(FILE[:512])
    block[at : at + len(field)] = field
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + FILE[512:]


def pack_zstd(content: bytes, *, window_log: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return packer.compress(content) + packer.flush()


REFUSED: dict[str, tuple[bytes, str]] = {
    "dots": (make_tar(Member("../a")), "could escape the root"),
    "dots inside": (make_tar(Member("a/../../b")), "could escape the root"),
    "dots in an absolute name": (make_tar(Member("/../etc/passwd")), "could escape the root"),
    "link to dots": (make_tar(hard_link("a", "../../etc/passwd")), "could escape the root"),
    "empty name": (changed(0, bytes(100)), "could escape the root"),
    "whiteout of the root": (make_tar(Member(".wh..")), "names no file"),
    "whiteout of the parent": (make_tar(Member("d/.wh...")), "names no file"),
    "whiteout of nothing": (make_tar(Member("d/.wh.")), "names no file"),
    "below a whiteout": (make_tar(Member(".wh.d/x")), "below a whiteout"),
    "file as root": (make_tar(Member(".")), "not a directory"),
    "link to itself": (make_tar(Member("a"), hard_link("a", "a")), "to itself"),
    "link to nothing": (make_tar(hard_link("a", "b")), "which is nothing"),
    "link to a directory": (make_tar(directory("d"), hard_link("a", "d")), "which is a directory"),
    "link to a whiteout": (make_tar(Member(".wh.b"), hard_link("a", ".wh.b")), "which is nothing"),
    "below a file": (make_tar(Member("a"), Member("a/b")), "not a directory"),
    "loop of links": (make_tar(symlink("a", "b"), symlink("b", "a"), Member("a/c")), "loop"),
    "long component": (make_tar(Member("x" * 256)), "too long"),
    "long name": (make_tar(Member("/".join(["x" * 200] * 21))), "too long"),
    "long by links": (
        make_tar(
            symlink("a", "/".join(["x" * 250] * 10)),
            symlink("a/b", "/".join(["y" * 250] * 10)),
            Member("a/b/c"),
        ),
        "too long",
    ),
    "huge link target": (make_tar(symlink("a", "x" * 5000)), "an invalid target"),
    "overlay's whiteout": (make_tar(Member("a", kind=tarfile.CHRTYPE)), "an overlayfs whiteout"),
    "overlay's attribute": (
        make_tar(Member("a", xattrs={"trusted.overlay.opaque": b"y"})),
        "has overlayfs attributes",
    ),
    "large attribute": (make_tar(Member("a", xattrs={"user.a": b"x" * 70000})), "too large"),
    "device number": (
        make_tar(Member("a", kind=tarfile.BLKTYPE, device=(5000, 1))),
        "the invalid number 5000,1",
    ),
    "sparse": (make_tar(Member("a", kind=tarfile.GNUTYPE_SPARSE)), "supported"),
    "sparse by pax": (pax(GNU__sparse__major="1"), "supported"),
    "unknown kind": (changed(156, b"Z"), "supported"),
    "negative size": (changed(124, b"\xff" * 12), "size"),
    "huge size": (changed(124, b"\x80" + b"\xff" * 11), "size"),
    "negative owner": (changed(108, b"\xff" * 8), "owner"),
    "owner beyond 32 bits": (pax(uid="4294967296"), "owner"),
    "size beyond the end": (changed(124, b"00000077777\0"), "middle of a file"),
    "bad octal": (changed(100, b"0o644\0\0\0"), "not a number"),
    "underscores": (changed(124, b"0000000_007\0"), "not a number"),
    "bad checksum": (b"x" + FILE[1:], "checksum is wrong"),
    "no tar": (b"hello, world\n" * 100, "not a tar"),
    "bad pax size": (pax(size="-1"), "bad size"),
    "pax size with a sign": (pax(size="+1"), "bad size"),
    "bad pax time": (pax(mtime="soon"), "bad time"),
    "pax name with a NUL": (pax(path="a\0b"), "NUL"),
    "no end mark": (make_tar(Member("a", b"x" * 512), end=False), "before its end mark"),
    "cut in a header": (FILE[:300], "before its end mark"),
    "cut in a content": (FILE[:514], "middle of a file"),
    "cut gzip": (gzip.compress(FILE)[:-9], "too early"),
    "damaged gzip": (gzip.compress(FILE)[:-8] + bytes(8), "damaged"),
    "junk behind gzip": (gzip.compress(FILE) + b"junk", "damaged"),
    "damaged zstd": (zstandard.compress(FILE)[:8] + b"\xff" * 40, "cannot be read"),
    "cut zstd": (zstandard.compress(FILE)[:-20], "before its end mark|not what the image"),
    "zstd with a huge window": (pack_zstd(FILE, window_log=27), "cannot be read"),
    "xz": (b"\xfd7zXZ\0" + bytes(600), "compressed with xz"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path: Path, case: str) -> None:
    content, reason = REFUSED[case]
    with pytest.raises((ImageInvalid, ImageUnsupported), match=reason):
        merge(tmp_path, make_tar(Member("lower")), content)


def test_absolute_and_untidy_names_are_names_below_the_root(tmp_path: Path) -> None:
    layer = make_tar(Member("/etc/a", b"1"), Member("./etc//b", b"2"), Member("etc/./c", b"3"))
    assert contents(merge(tmp_path, layer)) == {b"etc/a": b"1", b"etc/b": b"2", b"etc/c": b"3"}


def test_a_wrong_digest_is_told_before_anything_is_written(tmp_path: Path) -> None:
    """F3."""
    with pytest.raises(ImageInvalid, match="not what the image says"):
        merge(tmp_path, FILE, diff_ids=["sha256:" + "0" * 64])
    assert (tmp_path / "merged.tar").read_bytes() == b""


def test_what_lies_behind_the_end_mark_counts_for_the_digest_only(tmp_path: Path) -> None:
    assert names(merge(tmp_path, FILE + make_tar(Member("b")))) == [b"a"]


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        zstandard.compress,
        lambda tar: gzip.compress(tar[:700]) + gzip.compress(tar[700:]) + bytes(512),
        lambda tar: zstandard.compress(tar[:700]) + zstandard.compress(tar[700:]),
        lambda tar: b"\x50\x2a\x4d\x18\x04\0\0\0note" + zstandard.compress(tar),
    ],
    ids=["gzip", "zstd", "gzip members", "zstd frames", "skippable frame"],
)
def test_packed_layers(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:

    tar = make_tar(Member("a", b"content" * 1000), Member("b", b"x" * 3_000_000))
    merged = merge(tmp_path, pack(tar), diff_ids=[digest(tar)])
    assert contents(merged) == {b"a": b"content" * 1000, b"b": b"x" * 3_000_000}


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A layer that is much denser than files are is refused on the way, not at its end."""
    monkeypatch.setattr(limits, "DENSE_FROM_BYTES", 2**22)
    header = make_tar(Member("a"))[:512]
    big = bytearray(header)
    big[124:136] = b"%011o\0" % (2**33 - 1)
    big[148:156] = b" " * 8
    big[148:156] = b"%06o\0 " % sum(big)
    packer = (
        zlib.compressobj(9, wbits=31)
        if name == "gzip"
        else zstandard.ZstdCompressor().compressobj()
    )
    packed = packer.compress(bytes(big)) + packer.compress(bytes(64 * 2**20)) + packer.flush()
    with pytest.raises(ImageInvalid, match="decompression bomb"):
        merge(tmp_path, packed)


def test_too_many_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [Member(f"f{number}", uid=number) for number in range(60)]
    for limit, reason in (
        ("ENTRIES_MAX", "more than 50 files"),
        ("NAME_BYTES_MAX", "names are longer"),
        ("ATTRIBUTES_MAX", "attributes are too large"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(limits, limit, 50)
            layer = make_tar(*many, Member("x", xattrs={"user.a": b"x" * 60}))
            with pytest.raises(ImageInvalid, match=reason):
                merge(tmp_path, layer)
    monkeypatch.setattr("banger.images.layers.emit.OWNERS_MAX", 50)
    with pytest.raises(ImageInvalid, match="different owners"):
        merge(tmp_path, make_tar(*many))
    monkeypatch.setattr("banger.images.layers.emit.DIRECTORY_ENTRIES_MAX", 50)
    with pytest.raises(ImageUnsupported, match="in the directory '/'"):
        merge(tmp_path, make_tar(*[Member(f"f{number}") for number in range(60)]))


def test_implied_directories_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ENTRIES_MAX", 100)
    with pytest.raises(ImageInvalid, match="more than 100 files"):
        merge(tmp_path, make_tar(*[Member(f"{n}/" + "a/" * 50 + "x") for n in range(3)]))


def test_walking_through_links_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NAME_BYTES_MAX", 5000)
    layer = make_tar(
        directory("d"), symlink("l", "d/" + "./" * 400), *[Member(f"l/{n}") for n in range(9)]
    )
    with pytest.raises(ImageInvalid, match="lead through too many"):
        merge(tmp_path, layer)


def test_a_root_that_does_not_fit_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A10."""
    real = work.os.statvfs

    class Full:
        f_bavail, f_frsize = 1, 4

    monkeypatch.setattr(work.os, "statvfs", lambda path: Full if path == tmp_path else real(path))
    with pytest.raises(BangerError, match="more than is free"):
        merge(tmp_path, FILE)


@given(st.binary(max_size=3000))
def test_any_bytes_behind_a_good_header(tmp_path_factory: pytest.TempPathFactory, b: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    with contextlib.suppress(ImageInvalid, ImageUnsupported):
        merge(folder, FILE[:1024] + b)


@given(st.binary(min_size=512, max_size=512))
def test_any_header_is_parsed_or_refused(block: bytes) -> None:
    fixed = bytearray(block)
    fixed[148:156] = b" " * 8
    fixed[148:156] = b"%06o\0 " % sum(fixed)
    try:
        header = parse_header(bytes(fixed))
    except Malformed:
        return
    assert 0 <= header.mode <= 0o7777


@given(st.dictionaries(st.binary(min_size=1).filter(lambda k: b"=" not in k), st.binary()))
def test_pax_records_come_back(records: dict[bytes, bytes]) -> None:

    entry = pax_header(records.items())
    size = int(entry[124:135], 8)
    assert parse_pax(entry[512 : 512 + size]) == records


@given(st.binary(max_size=300))
def test_any_pax_content_is_parsed_or_refused(content: bytes) -> None:
    with contextlib.suppress(Malformed):
        parse_pax(content)


@given(st.binary(max_size=300))
def test_a_name_stays_below_the_root(name: bytes) -> None:
    try:
        path = parse_path(name)
    except Malformed:
        return
    assert not path.startswith(b"/")
    assert b".." not in path.split(b"/") and b"" not in path.split(b"/")[1:]
