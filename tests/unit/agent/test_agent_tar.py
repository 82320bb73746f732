"""TAR_IN and TAR_OUT: trees in and out, confinement, broken archives."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import random
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.agent.conftest import start_agent
from tests.unit.agent.wire import FIRST_WINDOW, PING, TAR_IN, TAR_OUT, Host, Outcome, number

EMPTY_FIRST = 1
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
NOISE = random.Random(3).randbytes(1_500_000)


def member(name: str, content: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def archive(
    members: Iterable[tuple[tarfile.TarInfo, bytes]], kind: int = tarfile.PAX_FORMAT
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def directory(name: str, **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, **{"mode": 0o755, **attributes})


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=kind, linkname=target)


def unpack(host: Host, path: Path, raw: bytes, *, flags: int = 0) -> Outcome:
    stream = host.open(TAR_IN, ("PATH", str(path)), ("FLAGS", flags))
    host.write(stream, raw)
    return host.wait(stream)


def pack(host: Host, path: Path, *names: str) -> Outcome:
    return host.call(TAR_OUT, ("PATH", str(path)), *(("NAME", name) for name in names))


def read_archive(raw: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
        return {info.name: info for info in tar}


# --- in ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS.values(), ids=FORMATS.keys())
@pytest.mark.parametrize("flags", [0, EMPTY_FIRST])
def test_unpack_every_format(host: Host, tmp_path: Path, kind: int, flags: int) -> None:
    """H7: contents, modes, times, links; names and content of any bytes."""
    raw = archive(
        [
            directory("d", mode=0o750, mtime=1_000_000_000),
            member("d/plain", b"hello\n", mode=0o640, mtime=1_500_000_000),
            member("d/big", NOISE, mode=0o755),
            member("d/empty", b"", mode=0o600),
            member("x" * 90 + "/" + "y" * 60, b"split name"),
            link("soft", "/does/not/exist"),
            link("hard", "d/plain", tarfile.LNKTYPE),
            member("pipe", type=tarfile.FIFOTYPE, mode=0o622),
            member("d/setuid", b"#!", mode=0o4755),
            directory("locked", mode=0o555, mtime=7),
            member("locked/inside", b"in"),
        ],
        kind,
    )
    outcome = unpack(host, tmp_path / "new" / "root", raw, flags=flags)
    root = tmp_path / "new" / "root"
    assert number(outcome.result["ENTRIES"]) == 11
    assert (root / "d/big").read_bytes() == NOISE
    assert (root / "d/plain").read_bytes() == b"hello\n"
    assert (root / ("x" * 90) / ("y" * 60)).read_bytes() == b"split name"
    assert os.readlink(root / "soft") == "/does/not/exist"
    assert (root / "hard").samefile(root / "d/plain")
    modes = {"d": 0o750, "d/plain": 0o640, "d/big": 0o755, "pipe": 0o622, "d/setuid": 0o4755}
    for name, mode in {**modes, "locked": 0o555}.items():
        assert (root / name).lstat().st_mode & 0o7777 == mode, name
    assert (root / "pipe").is_fifo()
    assert (root / "d").stat().st_mtime == 1_000_000_000
    assert (root / "locked").stat().st_mtime == 7
    assert (root / "d/plain").stat().st_mtime == 1_500_000_000
    assert (root / "locked/inside").read_bytes() == b"in"
    (root / "locked").chmod(0o755)


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_unpack_long_names(host: Host, tmp_path: Path, kind: str) -> None:
    """F1: GNU long names and links, PAX path and linkpath."""
    deep = "/".join(["d" * 50] * 8)
    target = "t" * 300
    long_name = f"{deep}/{'n' * 200}"
    raw = archive([member(long_name, b"deep"), link("soft", target)], FORMATS[kind])
    assert number(unpack(host, tmp_path, raw).result["ENTRIES"]) == 2
    assert (tmp_path / long_name).read_bytes() == b"deep"
    assert os.readlink(tmp_path / "soft") == target


def test_unpack_pax_numbers_and_global_header(host: Host, tmp_path: Path) -> None:
    info, content = member("f", b"x", mtime=1_234_567_890.987654321)
    early, _ = member("early", b"", mtime=-1.5)
    buffer = io.BytesIO()
    header = {"comment": "as git archive writes it"}
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers=header
    ) as tar:
        tar.addfile(info, io.BytesIO(content))
        tar.addfile(early)
    unpack(host, tmp_path, buffer.getvalue()).result  # noqa: B018 - asserts that it is one
    assert (tmp_path / "f").stat().st_mtime == pytest.approx(1_234_567_890.987654, abs=1e-5)
    assert (tmp_path / "early").stat().st_mtime_ns == -1_500_000_000


def test_unpack_names_that_are_no_utf8(host: Host, tmp_path: Path) -> None:
    """F4"""
    name = os.fsdecode(b"caf\xe9\n\x1b[31m")
    raw = archive([member(name, b"x")], tarfile.GNU_FORMAT)
    unpack(host, tmp_path, raw).result  # noqa: B018 - asserts that it is one
    assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9\n\x1b[31m"]


def test_unpack_replaces_and_does_not_write_through(host: Host, tmp_path: Path) -> None:
    """E3, F1: an existing link, hard link or file is replaced; what it named is untouched."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.write_bytes(b"untouched")
    (root / "soft").symlink_to(outside)
    (root / "hard").hardlink_to(outside)
    (root / "dir-to-file").mkdir()
    (root / "file-to-dir").write_bytes(b"")
    (root / "link-to-dir").symlink_to(tmp_path)
    members = [member(name, b"new") for name in ("soft", "hard", "dir-to-file")]
    raw = archive([*members, directory("file-to-dir"), directory("link-to-dir")])
    unpack(host, root, raw).result  # noqa: B018 - asserts that it is one
    assert outside.read_bytes() == b"untouched"
    for name in ("soft", "hard", "dir-to-file"):
        assert (root / name).read_bytes() == b"new"
        assert not (root / name).is_symlink()
    assert (root / "file-to-dir").is_dir()
    assert (root / "link-to-dir").is_dir() and not (root / "link-to-dir").is_symlink()


def test_unpack_keeps_a_directory_that_is_not_empty(host: Host, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "kept").write_bytes(b"")
    assert unpack(host, tmp_path, archive([member("d", b"file")])).code == "io"
    unpack(host, tmp_path, archive([directory("d"), member("d/more")])).result  # noqa: B018 - asserts that it is one
    assert sorted(os.listdir(tmp_path / "d")) == ["kept", "more"]


def test_unpack_empties_first(host: Host, tmp_path: Path) -> None:
    (tmp_path / "old/deep").mkdir(parents=True)
    for i in range(300):
        (tmp_path / "old" / str(i)).write_bytes(b"")
    (tmp_path / "link").symlink_to("/etc")
    unpack(host, tmp_path, archive([member("new")]), flags=EMPTY_FIRST).result  # noqa: B018 - asserts that it is one
    assert os.listdir(tmp_path) == ["new"]
    assert Path("/etc/passwd").exists()


def test_unpack_into_what_was_emptied_writes_through_nothing(host: Host, tmp_path: Path) -> None:
    """E3: there files get their names at once, also over what the archive itself has put there."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.write_bytes(b"as it was")
    link = member("file", type=tarfile.SYMTYPE, linkname=str(outside))
    raw = archive([link, member("file", b"first"), member("file", b"second")])
    unpack(host, root, raw, flags=EMPTY_FIRST).result  # noqa: B018 - asserts that it is one
    assert (root / "file").read_bytes() == b"second" and not (root / "file").is_symlink()
    assert outside.read_bytes() == b"as it was"
    assert os.listdir(root) == ["file"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a/..", "..", "/../x", "a//../../x"])
def test_unpack_refuses_dots(host: Host, tmp_path: Path, name: str) -> None:
    """E3, F1"""
    root = tmp_path / "root"
    assert unpack(host, root, archive([member(name, b"evil")])).code == "unsafe-path"
    assert os.listdir(tmp_path) == ["root"]


def test_unpack_strips_leading_slashes(host: Host, tmp_path: Path) -> None:
    raw = archive([member("///abs/file", b"x"), member("./dot/./file", b"y")], tarfile.GNU_FORMAT)
    unpack(host, tmp_path, raw).result  # noqa: B018 - asserts that it is one
    assert (tmp_path / "abs/file").read_bytes() == b"x"
    assert (tmp_path / "dot/file").read_bytes() == b"y"


@pytest.mark.parametrize("target", ["..", "/", "../outside", "."])
def test_unpack_follows_no_link_on_the_way(host: Host, tmp_path: Path, target: str) -> None:
    """E3, F1: a link made by the archive itself, or found there, is never walked through."""
    root = tmp_path / "root"
    (tmp_path / "outside").mkdir()
    raw = archive([link("way", target), member("way/evil", b"evil")])
    assert unpack(host, root, raw).code == "unsafe-path"
    assert os.listdir(root) == ["way"]
    assert os.listdir(tmp_path / "outside") == []
    raw = archive([member("way/deeper/evil", b"evil")])
    assert unpack(host, root, raw).code == "unsafe-path"


@pytest.mark.parametrize("target", ["../secret", "way/secret", "/../secret"])
def test_unpack_hard_links_stay_inside(host: Host, tmp_path: Path, target: str) -> None:
    """E3, F1"""
    root = tmp_path / "root"
    (tmp_path / "secret").write_bytes(b"secret")
    raw = archive([link("way", ".."), link("hard", target, tarfile.LNKTYPE)])
    assert unpack(host, root, raw).code == "unsafe-path"
    assert os.listdir(root) == ["way"]


def test_unpack_hard_link_to_a_symlink_does_not_follow(host: Host, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (tmp_path / "secret").write_bytes(b"secret")
    raw = archive([link("soft", "../secret"), link("hard", "soft", tarfile.LNKTYPE)])
    unpack(host, root, raw).result  # noqa: B018 - asserts that it is one
    assert os.readlink(root / "hard") == "../secret"


GOOD = archive([directory("d"), member("d/a", b"x" * 700), member("n" * 150, b"y")])


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00" * 100, id="short zeros"),
        pytest.param(b"this is not a tar archive" * 100, id="text"),
        pytest.param(NOISE[:10240], id="noise"),
        pytest.param(GOOD[:100], id="cut in a header"),
        pytest.param(GOOD[:512], id="cut behind a header"),
        pytest.param(GOOD[:1500], id="cut in content"),
        pytest.param(GOOD[: GOOD.index(b"n" * 150)], id="cut in a PAX header"),
        pytest.param(GOOD[:520] + b"\xff" + GOOD[521:], id="wrong sum"),
        pytest.param(archive([member("s", b"", type=b"S")]), id="sparse"),
        pytest.param(archive([member("s", b"", type=b"Z")]), id="unknown type"),
    ],
)
def test_unpack_refuses_what_is_no_archive(host: Host, tmp_path: Path, raw: bytes) -> None:
    """F1"""
    assert unpack(host, tmp_path, raw).code == "bad-archive"
    assert host.call(PING).result


def test_unpack_refuses_a_lie_about_the_size(host: Host, tmp_path: Path) -> None:
    info, _ = member("f")
    info.size = 1 << 40
    raw = info.tobuf(tarfile.PAX_FORMAT) + bytes(1000)
    assert unpack(host, tmp_path, raw).code == "bad-archive"


@settings(
    max_examples=80,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, len(GOOD)),
)
def test_broken_archives_stay_inside(
    host: Host, tmp_path: Path, changes: list[tuple[int, int]], cut: int
) -> None:
    """E2, F1: RESULT or ERROR for any bytes, and nothing next to the directory."""
    raw = bytearray(GOOD)
    for at, value in changes:
        raw[at] = value
    outcome = unpack(host, tmp_path / "root", bytes(raw[:cut]), flags=EMPTY_FIRST)
    assert outcome.last is not None
    assert os.listdir(tmp_path) == ["root"]


def test_unpack_into_what_cannot_be_a_directory(host: Host, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert unpack(host, tmp_path / "file", GOOD).code == "io"
    assert unpack(host, tmp_path / "file" / "below", GOOD).code == "io"


def test_unpack_stops_on_close(host: Host, tmp_path: Path) -> None:
    stream = host.open(TAR_IN, ("PATH", str(tmp_path)))
    host.write(stream, GOOD[:1300], eof=False)
    host.close_stream(stream)
    assert host.wait(stream).code == "closed"
    assert host.call(PING).result


OLD, NEW = b"what was there" * 1000, random.Random(5).randbytes(300_000)
BREAKS = [0, 511, 512, 513, 4096, 150_000, 512 + len(NEW) - 1]
"""Bytes of an archive of one file: in its header, in its content, one before its end."""


@pytest.mark.parametrize("has_old", [True, False], ids=["over a file", "where none was"])
@pytest.mark.parametrize("size", BREAKS)
@pytest.mark.parametrize("how", ["end", "close", "new host"])
def test_what_breaks_off_leaves_what_was_there(
    host: Host, tmp_path: Path, how: str, size: int, has_old: bool
) -> None:
    """A9: no part of a file under the name of the whole one, nor under another."""
    if has_old:
        (tmp_path / "big").write_bytes(OLD)
    raw = archive([member("big", NEW)], tarfile.USTAR_FORMAT)[:size]
    stream = host.open(TAR_IN, ("PATH", str(tmp_path)))
    host.write(stream, raw, eof=how == "end")
    if how == "end":
        assert host.wait(stream).code == "bad-archive"
    else:
        if size > 512:
            until(lambda: any(name.endswith(".part") for name in os.listdir(tmp_path)))
        if how == "close":
            host.close_stream(stream)
            assert host.wait(stream).code == "closed"
        else:
            host.connect()
    until(lambda: os.listdir(tmp_path) == (["big"] if has_old else []))
    if has_old:
        assert (tmp_path / "big").read_bytes() == OLD


PARTS = [f".banger-{number}.part" for number in range(1, 6)]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_file_is_whole_when_its_name_appears(host: Host, tmp_path: Path) -> None:
    """With its mode and time, while the archive goes on; a hard link to it is one."""
    raw = archive([member("big", NEW, mode=0o4711, mtime=1_000_000), member("next", NEW)])
    stream = host.open(TAR_IN, ("PATH", str(tmp_path)))
    host.write(stream, raw[:400_000], eof=False)
    until((tmp_path / "big").exists)
    found = (tmp_path / "big").stat()
    assert (found.st_mode & 0o7777, found.st_mtime) == (0o4711, 1_000_000)
    assert (tmp_path / "big").read_bytes() == NEW
    assert not (tmp_path / "next").exists()
    host.write(stream, raw[400_000:])
    host.wait(stream).result  # noqa: B018 - asserts that it is one
    unpack(host, tmp_path, archive([member("a", NEW), link("b", "a", tarfile.LNKTYPE)]))
    assert (tmp_path / "a").samefile(tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "big", "next"]


def test_a_file_is_made_beside_what_has_its_other_name(host: Host, tmp_path: Path) -> None:
    """What another copy has, or somebody made, is neither used nor removed."""
    raw = archive([member("first", NEW), member("second", NEW)])
    stream = host.open(TAR_IN, ("PATH", str(tmp_path)))
    host.write(stream, raw[:100_000], eof=False)
    until(lambda: len(os.listdir(tmp_path)) == 1)
    assert os.listdir(tmp_path) == [PARTS[0]]
    (tmp_path / PARTS[1]).write_bytes(b"mine")
    (tmp_path / PARTS[2]).symlink_to(tmp_path / "elsewhere")
    (tmp_path / PARTS[3]).mkdir()
    with open(tmp_path / PARTS[4], "wb", opener=open_private) as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        unpack(host, tmp_path, archive([member("third", NEW)])).result  # noqa: B018 - it is one
    host.write(stream, raw[100_000:])
    host.wait(stream).result  # noqa: B018 - asserts that it is one
    assert (tmp_path / PARTS[1]).read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == sorted([*PARTS[1:5], "first", "second", "third"])


def open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def find_size(path: Path) -> int:
    """Return a file's size; 0 between the removal of one and the making of the next."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def test_what_a_crash_has_left_goes_with_the_next_copy(host: Host, tmp_path: Path) -> None:
    """A9: also while that one is under way, and another."""
    for name in PARTS[:3]:
        with open(tmp_path / name, "wb", opener=open_private) as left:
            left.write(b"left")
    raw = archive([member("big", NEW)])
    stream = host.open(TAR_IN, ("PATH", str(tmp_path)))
    host.write(stream, raw[:100_000], eof=False)
    until(lambda: find_size(tmp_path / PARTS[0]) > len(b"left"))
    unpack(host, tmp_path, archive([member("other", NEW)])).result  # noqa: B018 - it is one
    host.write(stream, raw[100_000:])
    host.wait(stream).result  # noqa: B018 - asserts that it is one
    assert sorted(os.listdir(tmp_path)) == [PARTS[2], "big", "other"]
    assert (tmp_path / "big").read_bytes() == (tmp_path / "other").read_bytes() == NEW


def test_what_follows_the_archive_is_ignored(host: Host, tmp_path: Path) -> None:
    outcome = unpack(host, tmp_path, GOOD + NOISE)
    assert number(outcome.result["BYTES"]) == 701


# --- out -------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "d/e").mkdir(parents=True)
    (root / "d/e/file").write_bytes(NOISE)
    (root / "d/odd").write_bytes(b"x" * 513)
    (root / "d/odd").chmod(0o4751)
    (root / "empty").write_bytes(b"")
    (root / "hard").hardlink_to(root / "d/odd")
    (root / "soft").symlink_to("d/" + "t" * 200)
    (root / ("l" * 200)).write_bytes(b"long")
    (root / os.fsdecode(b"caf\xe9")).write_bytes(b"latin")
    os.mkfifo(root / "pipe", 0o622)
    with open(root / "hole", "wb") as file:
        file.truncate(300_000)
    os.utime(root / "empty", ns=(0, 1_234_567_890_123_456_789))
    os.utime(root / "soft", ns=(0, -1_500_000_000), follow_symlinks=False)
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.getcwd()
        os.chdir(root)
        sock.bind("sock")
        os.chdir(here)
    return root


def test_pack_is_what_tarfile_reads(host: Host, tree: Path) -> None:
    outcome = pack(host, tree)
    found = read_archive(outcome.stdout)
    assert list(found) == sorted(found, key=os.fsencode)
    assert outcome.ended == {1}
    assert number(outcome.result["ENTRIES"]) == len(found)
    assert "sock" not in found
    with tarfile.open(fileobj=io.BytesIO(outcome.stdout)) as tar:
        assert tar.extractfile("d/e/file").read() == NOISE  # type: ignore[union-attr]
        assert tar.extractfile("hole").read() == bytes(300_000)  # type: ignore[union-attr]
    assert found["hard"].islnk() and found["hard"].linkname == "d/odd"
    assert found["soft"].linkname == "d/" + "t" * 200
    assert found["d/odd"].mode == 0o4751
    assert found["d/odd"].uid == os.getuid()
    assert found["pipe"].isfifo()


def test_pack_and_unpack_make_the_same_tree(host: Host, tree: Path, tmp_path: Path) -> None:
    raw = pack(host, tree).stdout
    copy = tmp_path / "copy"
    unpack(host, copy, raw).result  # noqa: B018 - asserts that it is one
    names = sorted(os.fsencode(path.relative_to(tree)) for path in tree.rglob("*"))
    names.remove(b"sock")
    assert sorted(os.fsencode(path.relative_to(copy)) for path in copy.rglob("*")) == names
    for name in map(os.fsdecode, names):
        one, other = (tree / name).lstat(), (copy / name).lstat()
        assert (one.st_mode, one.st_mtime_ns) == (other.st_mode, other.st_mtime_ns), name
        if (tree / name).is_file() and not (tree / name).is_symlink():
            assert (tree / name).read_bytes() == (copy / name).read_bytes()
    assert pack(host, copy).stdout == raw


def test_extended_attributes_are_kept(host: Host, tmp_path: Path) -> None:
    """F2, where the file system has them."""
    root = tmp_path / "tree"
    root.mkdir()
    (root / "f").write_bytes(b"")
    try:
        os.setxattr(root / "f", "user.banger", b"\x00\n=1")
    except OSError:
        # No such attributes here: then a tar that brings one is unpacked without it.
        info, _ = member("f", pax_headers={"SCHILY.xattr.user.banger": "1"})
        unpack(host, tmp_path / "copy", archive([(info, b"")])).result  # noqa: B018 - asserts that it is one
        assert (tmp_path / "copy/f").exists()
        return
    unpack(host, tmp_path / "copy", pack(host, root).stdout).result  # noqa: B018 - asserts that it is one
    assert os.getxattr(tmp_path / "copy/f", "user.banger") == b"\x00\n=1"


def test_pack_one_file(host: Host, tree: Path) -> None:
    assert list(read_archive(pack(host, tree / "d/odd").stdout)) == ["odd"]


def test_pack_named_entries_only(host: Host, tree: Path) -> None:
    found = read_archive(pack(host, tree, "d/e", "empty", "soft").stdout)
    assert list(found) == ["d/e", "d/e/file", "empty", "soft"]


@pytest.mark.parametrize("name", ["../tree", "d/..", "/etc", "", "d//e", ".", "d/./e"])
def test_pack_refuses_names_that_leave(host: Host, tree: Path, name: str) -> None:
    """E3"""
    assert pack(host, tree, name).code == "unsafe-path"


def test_pack_follows_no_link_in_names(host: Host, tree: Path) -> None:
    """E3"""
    (tree / "way").symlink_to("d")
    assert pack(host, tree, "way/odd").code == "unsafe-path"
    assert read_archive(pack(host, tree, "way").stdout)["way"].issym()


def test_pack_not_found(host: Host, tree: Path) -> None:
    assert pack(host, tree / "no").code == "not-found"
    assert pack(host, tree, "no").code == "not-found"
    assert pack(host, tree, "no/deeper").code == "not-found"


def test_pack_what_may_not_be_read(host: Host, tree: Path) -> None:
    (tree / "empty").chmod(0)
    outcome = pack(host, tree)
    assert outcome.code == "io"
    (tree / "empty").chmod(0o600)


def test_pack_an_empty_directory(host: Host, tmp_path: Path) -> None:
    outcome = pack(host, tmp_path)
    assert outcome.stdout == bytes(1024)
    assert number(outcome.result["ENTRIES"]) == 0


def test_pack_waits_for_the_reader(host: Host, tree: Path) -> None:
    """E2: an archive of which nobody reads costs the window; CLOSE ends it."""
    host.grants = False
    stream = host.open(TAR_OUT, ("PATH", str(tree)))
    while len(host.outcomes[stream].output[1]) < FIRST_WINDOW:
        host.step()
    assert host.call(PING).result
    assert len(host.outcomes[stream].output[1]) == FIRST_WINDOW
    host.close_stream(stream)
    assert host.wait(stream).code == "closed"


def test_many_files(host: Host, tmp_path: Path) -> None:
    """2,000 files and their hard links, there and back."""
    members = [member(f"d{i % 50}/f{i}", b"%d" % i) for i in range(2000)]
    links = [link(f"links/{i}", f"d{i % 50}/f{i}", tarfile.LNKTYPE) for i in range(2000)]
    unpack(host, tmp_path / "t", archive([*members, *links])).result  # noqa: B018 - asserts that it is one
    found = read_archive(pack(host, tmp_path / "t").stdout)
    assert sum(info.islnk() for info in found.values()) == 2000
    assert len(found) == 4051


# --- a root without what is mounted in it -----------------------------------------


ALONE = 1
MOUNTED = """
set -e
root=$1 disk=$2
mount --bind "$root" "$root"
cd "$root"
mount -t tmpfs pseudo proc
echo no > proc/no
mount --bind "$disk" "$(readlink -f home)"
mount -t tmpfs pseudo home/deep/scratch
echo no > home/deep/scratch/no
mount --rbind /proc kernel
mount --bind /proc/version version
shift 2
exec "$@"
"""


@pytest.fixture
def mounted(agent_binary: Path, tmp_path: Path) -> Iterator[Host]:
    """An agent that is root in namespaces of its own, with a root that has mounts."""
    root, disk = tmp_path / "root", tmp_path / "disk"
    for path in (root / "proc/under", root / "var/home/hidden", disk / "deep/scratch"):
        path.mkdir(parents=True)
    (root / "kernel").mkdir()
    (root / "home").symlink_to("var/home")
    (root / "f").write_bytes(b"f")
    (root / "version").touch()
    (disk / "deep/kept").write_bytes(b"kept")
    (disk / "deep/kept").chmod(0o4711)
    os.link(disk / "deep/kept", disk / "again")
    root.chmod(0o711)
    disk.chmod(0o750)
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNTED, "sh"]
    prefix += [str(root), str(disk)]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this host lets users make no such namespace")
    running = start_agent(agent_binary, prefix)
    try:
        running.host.connect()
        yield running.host
        assert running.end() == 0
    finally:
        running.host.sock.close()
        running.process.kill()
        running.process.wait()


def test_pack_alone_leaves_out_what_is_mounted(mounted: Host, tmp_path: Path) -> None:
    """F2: what is below a mount point comes instead; a native directory comes as it is mounted,
    where the image's links lead, with its attributes; the root has its own."""
    natives = [("NATIVE", str(tmp_path / "root/home")), ("NATIVE", "/no/such/directory")]
    outcome = mounted.call(TAR_OUT, ("PATH", str(tmp_path / "root")), ("FLAGS", ALONE), *natives)
    members = read_archive(outcome.stdout)
    assert sorted(members) == [
        ".",
        "./f",
        "./home",
        "./kernel",
        "./proc",
        "./proc/under",
        "./var",
        "./var/home",
        "./var/home/again",
        "./var/home/deep",
        "./var/home/deep/kept",
        "./var/home/deep/scratch",
        "./version",
    ]
    assert (members["."].mode, members["./var/home"].mode) == (0o711, 0o750)
    assert members["./var/home/again"].size == 4
    assert members["./var/home/deep/kept"].linkname == "./var/home/again"
    assert number(outcome.result["ENTRIES"]) == 13


def test_pack_leaves_out_what_the_kernel_generates(mounted: Host, tmp_path: Path) -> None:
    """E3, H7: /proc/kcore has 128 TiB, and other files no size; other mounts are packed."""
    root = ("PATH", str(tmp_path / "root"))
    members = read_archive(mounted.call(TAR_OUT, root).stdout)
    for name in ("kernel", "version"):
        assert members[name].pax_headers["comment"] == "file system of the kernel"
    assert not [name for name in members if name.startswith("kernel/")]
    assert {"proc/no", "var/home/deep/kept", "var/home/deep/scratch/no"} <= set(members)
    assert "comment" not in members["proc"].pax_headers
    for fields in ((root, ("NAME", "version")), (root, ("NAME", "kernel")), (("PATH", "/proc"),)):
        assert mounted.call(TAR_OUT, *fields).code == "kernel-files"


def test_pack_alone_takes_no_names(mounted: Host, tmp_path: Path) -> None:
    outcome = mounted.call(
        TAR_OUT, ("PATH", str(tmp_path / "root")), ("FLAGS", ALONE), ("NAME", "f")
    )
    assert outcome.code == "bad-request"


def test_pack_goes_on_past_what_is_removed(host: Host, tmp_path: Path) -> None:
    """C1: programs go on while a tree is packed; a name that is gone when its turn comes is none,
    neither as itself nor as the first name of a hard link. A file that grows keeps its size."""
    big = tmp_path / "a"
    big.write_bytes(NOISE)
    (tmp_path / "b").mkdir()
    (tmp_path / "c").write_bytes(b"c")
    os.link(tmp_path / "c", tmp_path / "d")
    stream = host.open(TAR_OUT, ("PATH", str(tmp_path)))
    host.wait_output(stream, NOISE[:100])  # the names are listed; the window is not enough for it
    (tmp_path / "b").rmdir()
    (tmp_path / "c").unlink()
    with open(big, "ab") as file:
        file.write(b"more")
    members = read_archive(host.wait(stream).stdout)
    assert sorted(members) == ["a", "d"]
    assert (members["a"].size, members["d"].size) == (len(NOISE), 1)
