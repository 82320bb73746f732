"""E3: nothing that a stream says has an effect outside of the directory that it is extracted into.

Each hostile stream is extracted beside a directory with secrets; afterwards everything outside of
the target is as it was.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.errors import BangerError, CopyRefused, OperationFailed
from banger.tar import extract as extracting
from banger.tar.extract import KERNEL_COMMENT, Extraction, Renamed, extract
from banger.tar.format import DIRECTORY, END_OF_TAR, FILE
from banger.tar.leftout import NAMED_MAX
from banger.tar.write import header, pax_header
from tests.support.tars import Member, directory, hard_link, make_tar, mend_checksums, symlink

LONG = "/".join(["n" * 250] * 16)  # some 4,000 characters


class World:
    """A target directory, and what must stay as it is around it."""

    def __init__(self, top: Path) -> None:
        self.target = top / "target"
        self.target.mkdir()
        self.outside = top / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        (self.outside / "secret").chmod(0o600)
        (self.outside / "below").mkdir()
        (self.target / "to-outside").symlink_to(self.outside)
        (self.target / "to-secret").symlink_to(self.outside / "secret")
        (self.target / "to-nothing").symlink_to(self.outside / "new")
        (self.target / "mine").write_text("mine")
        (self.target / "tree").mkdir()
        (self.target / "tree/own").write_text("own")
        self.before = self.picture()

    def picture(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Everything outside of the target."""
        found = {}
        for path in sorted(self.outside.parent.rglob("*")):
            if self.target not in (path, *path.parents):
                status = path.lstat()
                content = path.read_bytes() if path.is_file() else b""
                found[str(path)] = (status.st_mode, status.st_nlink, status.st_mtime_ns, content)
        return found

    def extract(self, *chunks: bytes, renamed: Renamed | None = None) -> Extraction:
        return self.extract_from(iter(chunks), renamed)

    def extract_from(self, chunks: Iterator[bytes], renamed: Renamed | None = None) -> Extraction:
        top = os.open(self.target, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return extract(chunks, top, renamed=renamed, on_bytes=lambda size: None)
        finally:
            os.close(top)

    def names(self) -> set[str]:
        return {str(path.relative_to(self.target)) for path in self.target.rglob("*")}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    assert made.picture() == made.before
    assert not [name for name in made.names() if ".banger-cp." in name]


def lying(size: int, content: bytes = b"") -> bytes:
    """A file whose header claims another size than its content has."""
    return header(b"f", FILE, mode=0o644, size=size, mtime_s=0) + content


def pax(**records: str) -> bytes:
    return make_tar(Member("f", b"x", pax={k.replace("__", "."): v for k, v in records.items()}))


REFUSED: dict[str, tuple[bytes, str]] = {
    "dots": (make_tar(Member("../new")), "could escape"),
    "dots inside": (make_tar(Member("a/../../new")), "could escape"),
    "dots in an absolute name": (make_tar(Member("/../outside/secret")), "could escape"),
    "dots as a directory": (make_tar(directory("..")), "could escape"),
    "dots by pax": (pax(path="../new"), "could escape"),
    "no name": (make_tar(Member(".")), "without a name"),
    "link, then a file through it": (
        make_tar(symlink("l", "../outside"), Member("l/secret", b"x")),
        "not followed",
    ),
    "link, then a directory through it": (
        make_tar(symlink("l", "../outside"), directory("l/below", 0o777)),
        "not followed",
    ),
    "link, then a directory over it": (
        make_tar(symlink("l", "../outside"), directory("l", 0o777)),
        "not followed",
    ),
    "links in a chain": (
        make_tar(symlink("a", "."), symlink("a/b", "../outside"), Member("a/b/secret", b"x")),
        "not followed",
    ),
    "file below a link that was there": (
        make_tar(Member("to-outside/secret", b"x")),
        "not followed",
    ),
    "directory over a link that was there": (
        make_tar(directory("to-outside", 0o777)),
        "not followed",
    ),
    "file below a file that was there": (make_tar(Member("mine/x")), "not followed"),
    "file over a directory": (make_tar(Member("tree", b"x")), "is a directory at the target"),
    "link over a directory": (make_tar(symlink("tree", "/")), "is a directory at the target"),
    "hard link to outside": (make_tar(hard_link("h", "../outside/secret")), "could escape"),
    "hard link through a link": (
        make_tar(hard_link("h", "to-outside/secret")),
        "not followed",
    ),
    "hard link to a link": (make_tar(hard_link("h", "to-secret")), "is not in it"),
    "hard link to a file that was there": (make_tar(hard_link("h", "mine")), "is not in it"),
    "hard link to its own link": (
        make_tar(symlink("l", "../outside/secret"), hard_link("h", "l")),
        "is not in it",
    ),
    "hard link to nothing": (make_tar(hard_link("h", "x/y")), "without a target"),
    "hard link to the top": (make_tar(hard_link("h", ".")), "is not in it"),
    "hard link to a directory": (make_tar(directory("d"), hard_link("h", "d")), "is not in it"),
    "long name": (make_tar(Member("/".join(["n" * 250] * 17))), "too long"),
    "long component": (make_tar(Member("n" * 256)), "too long"),
    "long link": (make_tar(symlink("l", "x" * 5000)), "invalid target"),
    "empty link": (make_tar(symlink("l", "")), "invalid target"),
    "NUL in a name": (pax(path="a\0b"), "NUL"),
    "sparse": (make_tar(Member("f", kind=tarfile.GNUTYPE_SPARSE)), "of the unsupported type"),
    "sparse by pax": (pax(GNU__sparse__major="1"), "sparse"),
    "unknown kind": (make_tar(Member("f", kind=b"Z")), "of the unsupported type"),
    "negative size": (
        mend_checksums(lying(0)[:124] + b"\xff" * 12 + lying(0)[136:]) + END_OF_TAR,
        "the invalid size -1",
    ),
    "a size beyond the end": (lying(5000, b"x" * 1000), "middle of a file"),
    "a size of an exbibyte": (lying(2**60, b"x" * 1000), "middle of a file"),
    "pax size beyond the end": (pax(size="100000"), "middle of a file"),
    "pax size with a sign": (pax(size="-1"), "bad size"),
    "pax time": (pax(mtime="tomorrow"), "bad time"),
    "global pax path": (
        pax_header([(b"path", b"g")]).replace(b"x", b"g", 1) + make_tar(Member("f")),
        "checksum|global pax",
    ),
    "no end mark": (make_tar(Member("whole", b"x" * 512), end=False), "before its end mark"),
    "cut in a header": (make_tar(Member("f"))[:300], "before its end mark"),
    "cut in a content": (make_tar(Member("f", b"x" * 900))[:1000], "middle of a file"),
    "wrong checksum": (b"x" + make_tar(Member("f"))[1:], "checksum"),
    "no tar": (b"hello, world\n" * 100, "not a tar"),
    "an extension without an entry": (pax_header([(b"path", b"p")]) + END_OF_TAR, "belongs to"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_a_sentence(world: World, case: str) -> None:
    """E3: with the files before it made, and nothing half-made."""
    content, reason = REFUSED[case]
    with pytest.raises(CopyRefused, match=reason):
        world.extract(make_tar(Member("first", b"first"), end=False), content)
    assert (world.target / "first").read_bytes() == b"first"
    assert (world.target / "mine").read_text() == "mine"
    assert (world.target / "tree/own").read_text() == "own"
    assert "f" not in world.names()


def test_links_that_were_there_are_replaced_not_written_through(world: World) -> None:
    world.extract(make_tar(Member("to-secret", b"a"), Member("to-nothing", b"b")))
    assert not (world.target / "to-secret").is_symlink()
    assert (world.target / "to-secret").read_bytes() == b"a"
    assert (world.target / "to-nothing").read_bytes() == b"b"


def test_a_link_to_outside_is_only_text(world: World) -> None:
    """As docker cp and rsync have it."""
    world.extract(make_tar(symlink("l", "../outside/secret"), symlink("abs", "/etc/passwd")))
    assert os.readlink(world.target / "l") == "../outside/secret"
    assert os.readlink(world.target / "abs") == "/etc/passwd"


def test_absolute_and_untidy_names_are_names_below_the_target(world: World) -> None:
    world.extract(make_tar(Member("/etc/a", b"1"), Member("./b//c", b"2"), Member("./d/./e", b"3")))
    assert {"etc/a", "b/c", "d/e"} <= world.names()


def test_setuid_setgid_and_sticky_bits_are_not_set(world: World) -> None:
    world.extract(make_tar(Member("f", b"x", mode=0o7755), directory("d", 0o7777)))
    assert stat.S_IMODE((world.target / "f").stat().st_mode) == 0o755
    assert stat.S_IMODE((world.target / "d").stat().st_mode) == 0o777


def test_a_directory_keeps_the_setgid_bit_of_its_target(world: World) -> None:
    world.target.chmod(0o2755)
    world.extract(make_tar(directory("d", 0o700)))
    assert stat.S_IMODE((world.target / "d").stat().st_mode) == 0o2700


def test_what_the_guest_says_is_its_kernels_is_named(world: World) -> None:
    """As its agent marks /proc; any other comment says nothing."""
    marked = Member("proc/", kind=tarfile.DIRTYPE, pax={"comment": KERNEL_COMMENT.decode()})
    other = Member("f", b"x", pax={"comment": "of git archive"})
    done = world.extract(make_tar(marked, other))
    assert done.left_out.named == [(b"proc", "a file system of the VM's kernel")]
    assert (world.target / "proc").is_dir() and (world.target / "f").read_text() == "x"


def test_devices_and_pipes_are_left_out_and_named(world: World) -> None:
    kinds = [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
    done = world.extract(
        make_tar(*[Member(f"n{n}", kind=kind) for n, kind in enumerate(kinds)], Member("f", b"x"))
    )
    assert done.left_out.named == [(b"n0", "a device"), (b"n1", "a device"), (b"n2", "a pipe")]
    assert not {"n0", "n1", "n2"} & world.names() and "f" in world.names()


def test_many_devices_are_counted_and_few_are_named(world: World) -> None:
    done = world.extract(make_tar(*[Member(f"n{n}", kind=tarfile.CHRTYPE) for n in range(50)]))
    assert (done.left_out.count, len(done.left_out.named)) == (50, NAMED_MAX)


def test_names_that_are_escapes_or_not_utf8_are_kept(world: World) -> None:
    names = [b"\x1b[31mred", b"caf\xe9", b"new\nline", b"-rf", b"\xff\xfe", "ü".encode()]
    world.extract(make_tar(*[Member(name, name) for name in names]))
    found = os.listdir(os.fsencode(world.target))
    assert {name for name in names if name in found} == set(names)


def test_a_name_of_4000_characters(world: World) -> None:
    world.extract(make_tar(Member(LONG, b"deep")))
    assert world.target.joinpath(*LONG.split("/")[:3]).is_dir()


def test_a_tree_deeper_than_the_limit_of_open_files(world: World) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        world.extract(make_tar(Member("d/" * 200 + "f", b"deep")))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (world.target / ("d/" * 200) / "f").read_bytes() == b"deep"


def test_case_twins_are_two_files(world: World) -> None:
    world.extract(make_tar(Member("README", b"1"), Member("readme", b"2")))
    assert (world.target / "README").read_bytes() != (world.target / "readme").read_bytes()


def test_of_duplicates_the_last_counts(world: World) -> None:
    content = make_tar(Member("f", b"1"), Member("f", b"22"), symlink("f", "x"), Member("f", b"3"))
    world.extract(content)
    assert (world.target / "f").read_bytes() == b"3"


def test_pax_overrides_path_and_size(world: World) -> None:
    block = header(b"short", FILE, mode=0o644, size=0, mtime_s=0)
    records = pax_header([(b"path", b"long/name"), (b"size", b"3")])
    world.extract(records + block + b"abc" + bytes(509) + END_OF_TAR)
    assert (world.target / "long/name").read_bytes() == b"abc"


def test_zeros_behind_the_end_are_read_to_a_limit(world: World) -> None:
    """E2: millions of blocks of zeros are no reason to read on for ever."""
    world.extract(make_tar(Member("f", b"x")), bytes(500_000))
    with pytest.raises(CopyRefused, match="after its end mark"):
        world.extract(make_tar(Member("f", b"x")), *[bytes(65536)] * 1000)


def test_a_sparse_file_takes_no_space(world: World) -> None:
    size = 64 * 2**20
    block = header(b"big", FILE, mode=0o644, size=size + 3, mtime_s=0)
    world.extract(block, *[bytes(2**20)] * 64, b"end" + bytes(509) + END_OF_TAR)
    status = (world.target / "big").stat()
    assert status.st_size == size + 3 and status.st_blocks * 512 < 2**20
    assert (world.target / "big").read_bytes()[-4:] == b"\0end"


def test_hard_links_are_kept(world: World) -> None:
    world.extract(make_tar(Member("a", b"x"), hard_link("d/b", "a"), hard_link("a", "d/b")))
    assert (world.target / "a").stat().st_ino == (world.target / "d/b").stat().st_ino


def test_a_hard_link_to_a_replaced_file_is_refused(world: World) -> None:
    with pytest.raises(CopyRefused, match="is not in it"):
        world.extract(make_tar(Member("a", b"x"), symlink("a", "mine"), hard_link("b", "a")))


def test_times_modes_and_contents_are_those_of_the_stream(world: World) -> None:
    members = [
        directory("d", 0o500, mtime=5.25),
        Member("d/f", b"x" * 100_000, mode=0o640, mtime=1.000000001),
        Member("old", mtime=-1.5),
    ]
    world.extract(make_tar(*members))
    assert (world.target / "d/f").read_bytes() == b"x" * 100_000
    status = {name: (world.target / name).stat() for name in ("d", "d/f", "old")}
    assert [stat.S_IMODE(s.st_mode) for s in status.values()] == [0o500, 0o640, 0o644]
    assert status["d"].st_mtime_ns == 5_250_000_000
    assert status["old"].st_mtime_ns == -1_500_000_000
    (world.target / "d").chmod(0o700)


def test_a_directory_that_may_not_be_written_to_is_filled_and_closed_again(world: World) -> None:
    for _ in range(2):
        world.extract(make_tar(directory("d", 0o555), Member("d/f", b"x")))
        assert stat.S_IMODE((world.target / "d").stat().st_mode) == 0o555
    (world.target / "d").chmod(0o755)


def test_times_out_of_range_are_clamped(world: World) -> None:
    world.extract(pax(mtime="9" * 20))
    world.extract(pax(mtime="-" + "9" * 20))
    assert (world.target / "f").read_bytes() == b"x"


def test_what_was_there_before_stays_until_all_is_there(world: World) -> None:
    """A10: a broken stream leaves the old file, and no part of the new one."""
    with pytest.raises(CopyRefused, match="middle of a file"):
        world.extract(header(b"mine", FILE, mode=0o644, size=5000, mtime_s=0), b"new" * 100)
    assert (world.target / "mine").read_text() == "mine"


def test_an_interrupt_leaves_no_half_file(world: World) -> None:
    """A6, A10: removed is the one temporary file that we made, and no other of such a name."""
    mine = world.target / ".banger-cp.0123456789ab"
    mine.write_text("somebody's")
    mine.chmod(0o644)

    def interrupted() -> Iterator[bytes]:
        yield lying(5000, b"x" * 100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.extract_from(interrupted())
    assert mine.read_text() == "somebody's"
    mine.unlink()
    assert "f" not in world.names()


def test_what_a_killed_extraction_left_is_removed_by_the_next(world: World) -> None:
    """A6, A10: also in the tree; not what another still writes, nor what is no such file."""
    left = [world.target / ".banger-cp.00000000000a", world.target / "tree/.banger-cp.00000000000b"]
    others = [world.target / f".banger-cp.00000000000{n}" for n in range(4)]
    for path in (*left, *others[:3]):
        path.touch(0o600)
    others[1].chmod(0o640)
    os.link(others[2], world.target / "named")
    others[3].symlink_to("named")
    others.append(world.target / ".banger-cp.notes")
    others[4].touch(0o600)
    with open(others[0], "rb") as written:
        fcntl.flock(written, fcntl.LOCK_EX)
        world.extract(make_tar(directory("tree"), Member("f", b"x")))
    assert not any(map(os.path.lexists, left)) and all(map(os.path.lexists, others))
    for path in others:
        path.unlink()


def test_two_extractions_at_once_leave_each_other_alone(world: World) -> None:
    """C6: each begins while the other's file is unfinished."""
    other: list[Extraction] = []

    def chunks() -> Iterator[bytes]:
        yield header(b"f", FILE, mode=0o600, size=4, mtime_s=0)
        other.append(world.extract(make_tar(Member("g", b"x"))))
        yield b"mine" + bytes(508) + bytes(1024)

    world.extract_from(chunks())
    assert other and (world.target / "f").read_bytes() == b"mine"
    assert (world.target / "g").read_bytes() == b"x"


def test_a_refusal_of_the_host_names_the_file(world: World) -> None:
    (world.target / "tree").chmod(0o500)
    with pytest.raises(OperationFailed, match=r"'tree/new' cannot be written: Permission denied"):
        world.extract(make_tar(Member("tree/new")))
    (world.target / "tree").chmod(0o700)


def test_only_what_was_asked_for_comes(world: World) -> None:
    renamed = Renamed(b"src", b"dst", DIRECTORY)
    members = [directory("src"), Member("src/a", b"1"), hard_link("src/b", "src/a")]
    world.extract(make_tar(*members), renamed=renamed)
    assert {"dst/a", "dst/b"} <= world.names()
    for member in (Member("mine", b"x"), Member("dst/a"), hard_link("src/c", "mine")):
        with pytest.raises(CopyRefused, match="not requested"):
            world.extract(make_tar(*members, member), renamed=renamed)
    assert (world.target / "mine").read_text() == "mine"


def test_a_link_does_not_come_for_a_file(world: World) -> None:
    """Else the next copy to the same place would go where the link leads."""
    for member in (symlink("src", "../outside/secret"), directory("src")):
        with pytest.raises(CopyRefused, match="different file type"):
            world.extract(make_tar(member), renamed=Renamed(b"src", b"dst", FILE))
    assert "dst" not in world.names()


@pytest.mark.parametrize("limit", ["ENTRIES_MAX", "DIRECTORIES_MAX", "DIRECTORY_BYTES_MAX"])
def test_entries_and_directories_are_limited(
    world: World, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """E2."""
    monkeypatch.setattr(extracting, limit, 20)
    with pytest.raises(CopyRefused, match="more than"):
        world.extract(make_tar(*[directory(f"d{number}") for number in range(30)]))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_has_no_effect_outside(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """E3: a stream with some bytes changed, cut anywhere, in chunks of any size."""
    world = World(tmp_path_factory.mktemp("damage"))
    content = bytearray(
        make_tar(
            directory("d"), Member("d/f", b"x" * 700), symlink("l", "../outside"),
            hard_link("h", "d/f"), Member("to-secret", b"x"), Member("n" * 150, b"y"),
        )
    )  # fmt: skip
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(content) if data.draw(st.booleans()) else mend_checksums(bytes(content))
    size = data.draw(st.integers(1, 3000))
    chunks = [damaged[at : at + size] for at in range(0, len(damaged), size)]
    with contextlib.suppress(BangerError):
        world.extract(*chunks)
    assert world.picture() == world.before
    assert not [name for name in world.names() if ".banger-cp." in name]
