"""E1, E2: a guest that lies about its files. What it says is a patch that is safe, or an error.

The guest room has checked that names stay below the workspace; nothing else is known of them.
"""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from banger.errors import BangerError, ExportTooLarge, GuestProtocolError
from banger.model.entries import GuestEntry
from banger.workspace import gathering, walking
from tests.component.workspace.conftest import Trip
from tests.component.workspace.test_branch import export_to
from tests.component.workspace.trees import apply_to, walk
from tests.support import repositories as repo
from tests.support.local_guest import LocalGuest

FILE, LINK, DIRECTORY = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755


def entry(name: bytes, mode: int = FILE, *, size: int = 1) -> GuestEntry:
    return GuestEntry(name, mode, 0, 0, size, 9, 9, 9)


@dataclass
class Liar(LocalGuest):
    """Adds entries to the workspace's listing, and answers each read with what it is told."""

    guest: LocalGuest
    listed: list[GuestEntry] = field(default_factory=list)
    answers: list[GuestEntry | bytes] | None = None
    """None: one byte for each name that is asked for and not there."""
    is_blurting: bool = False
    """Every entry is listed in the top directory, wherever its name is."""

    def __post_init__(self) -> None:
        super().__init__(self.guest.home)

    async def list_directories(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> list[GuestEntry]:
        there = await self.guest.list_directories(path, names, deadline_s=deadline_s)
        if self.is_blurting:
            return there + (self.listed if b"" in names else [])
        return there + [e for e in self.listed if e.name.rpartition(b"/")[0] in names]

    async def read_files(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> AsyncIterator[GuestEntry | bytes]:
        if self.answers is not None:
            for item in self.answers:
                yield item
            return
        lies = {each.name: each for each in self.listed}
        for name in names:
            if name in lies:
                yield lies[name]
                yield b"x" * lies[name].size
            else:
                async for item in self.guest.read_files(path, [name], deadline_s=deadline_s):
                    yield item


UNSAFE = [
    b".git/hooks/pre-commit",
    b".GIT/hooks/pre-commit",
    b"git~1/config",
    b"sub/.git/config",
    b".git",
    b".g\xe2\x80\x8cit/config",
    b"a\\..\\..\\b",
    b"..\\up",
    b"d\\.git\\config",
]


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_of_gits_own_is_in_no_patch(trip: Trip, name: bytes) -> None:
    """E1."""
    trip.prepare()
    above = [entry(name[:at], DIRECTORY) for at, c in enumerate(name) if c == ord("/")]
    assert trip.export(Liar(trip.guest, [*above, entry(name)])) == b""
    if b".git" not in name.split(b"/"):  # which is a repository's own, and is not looked into
        assert "Names that are not allowed in a patch" in trip.notices[0]


def test_a_repository_of_its_own_is_never_entered(trip: Trip) -> None:
    """E1: even if its names are told unasked."""
    trip.prepare()
    lies = [entry(b".git", DIRECTORY), entry(b".git/hooks/pre-commit"), entry(b".git/config")]
    assert trip.export(Liar(trip.guest, lies, is_blurting=True)) == b""


def test_a_link_for_gitmodules_is_left_out(trip: Trip) -> None:
    """E1."""
    trip.prepare()
    assert trip.export(Liar(trip.guest, [entry(b".gitmodules", LINK)])) == b""
    assert ".gitmodules" in trip.notices[0]


def test_a_file_below_a_link_is_refused(trip: Trip) -> None:
    """E1: nothing is ever written through a link, whatever was listed."""
    trip.prepare()
    guest = Liar(trip.guest, [entry(b"a", LINK), entry(b"a", DIRECTORY), entry(b"a/b")])
    with pytest.raises(GuestProtocolError, match="as a directory"):
        trip.export(guest)
    with pytest.raises(GuestProtocolError):
        export_to(trip, "b", guest, include_uncommitted=True)
    assert repo.git(trip.top, "branch", "--list", "b") == b""


def test_a_link_of_the_repository_is_replaced_not_followed(trip: Trip) -> None:
    """E1."""
    (trip.top / "link").symlink_to("/tmp")
    repo.commit(trip.top)
    trip.prepare()
    (trip.work / "link").unlink()
    repo.write(trip.work, "link/x", b"x\n")
    patch = trip.export()
    assert b"deleted file mode 120000" in patch and b"b/link/x" in patch


def test_a_name_in_a_directory_that_was_not_asked_for_is_not_read(trip: Trip) -> None:
    """E1."""
    trip.prepare()
    assert trip.export(Liar(trip.guest, [entry(b"far/away")], is_blurting=True)) == b""


@pytest.mark.parametrize("name", [*UNSAFE, b"src/main.py", b"not-asked-for"])
def test_a_file_that_was_not_asked_for_is_refused(trip: Trip, name: bytes) -> None:
    """E1: no listing had it, so no name was checked."""
    trip.prepare()
    guest = Liar(trip.guest, [entry(b"x")], answers=[entry(name), b"x"])
    with pytest.raises(GuestProtocolError):
        trip.export(guest)
    ignore = entry(b".gitignore")
    with pytest.raises(GuestProtocolError):
        trip.export(Liar(trip.guest, [ignore], answers=[entry(name), b"x"]))


@pytest.mark.parametrize(
    "listed",
    [
        [entry(b"x"), entry(b"x")],
        [entry(b"x"), entry(b"x", DIRECTORY)],
        [entry(b"x", DIRECTORY), entry(b"x"), entry(b"x/y")],
        [entry(b"x", LINK), entry(b"x", DIRECTORY), entry(b"x/y")],
        [entry(b"README"), entry(b"README", DIRECTORY), entry(b"README/y")],
        [entry(b"src", LINK), entry(b"src/z")],
        [entry(b".gitignore", DIRECTORY), entry(b".gitignore"), entry(b".gitignore/y")],
        [entry(b"d", DIRECTORY), entry(b"d/.gitignore"), entry(b"d")],
        [entry(b"x", 0), entry(b"y", 0xFFFFFFFF), entry(b"z", stat.S_IFIFO)],
    ],
)
def test_names_that_contradict_each_other(trip: Trip, listed: list[GuestEntry]) -> None:
    """E1, E2: a patch that applies, or an error of ours."""
    trip.prepare()
    before = walk(trip.work).files
    try:
        patch = trip.export(Liar(trip.guest, listed))
    except BangerError:
        return
    apply_to(before, patch)


@pytest.mark.parametrize(
    "name",
    [b"n" * 256, b"/".join([b"d"] * 201), b"/".join([b"d" * 250] * 13)],
    ids=["part", "depth", "length"],
)
def test_a_name_that_no_file_of_the_host_can_have(trip: Trip, name: bytes) -> None:
    """E2: the export does without it, and says so."""
    trip.prepare()
    above = [entry(name[:at], DIRECTORY) for at, c in enumerate(name) if c == ord("/")]
    trip.export(Liar(trip.guest, [*above, entry(name), entry(b"x")]))
    assert any("Names that are not allowed in a patch" in notice for notice in trip.notices)


class Endless(Liar):
    """Has another directory in each, without an end."""

    async def list_directories(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> list[GuestEntry]:
        there = await self.guest.list_directories(path, names, deadline_s=deadline_s)
        more = [name + b"/d" if name else b"d" for name in names]
        return there + [entry(name, DIRECTORY) for name in more]


def test_directories_without_an_end_are_cut_off(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E2."""
    monkeypatch.setattr(walking, "DEPTH_MAX", 10)
    trip.prepare()
    assert trip.export(Endless(trip.guest)) == b""
    assert any("Names that are not allowed in a patch" in notice for notice in trip.notices)


def test_files_without_an_end_are_cut_off(trip: Trip, monkeypatch: pytest.MonkeyPatch) -> None:
    """E2: of all directories together."""
    monkeypatch.setattr(walking, "ENTRIES_MAX", 10)
    trip.prepare()
    with pytest.raises(ExportTooLarge, match="more than 10 files"):
        trip.export(Endless(trip.guest))


def test_a_size_that_is_a_lie_is_refused_before_the_bytes_come(trip: Trip) -> None:
    """E2."""
    trip.prepare()
    huge = entry(b"x", size=gathering.FILE_BYTES_MAX + 1)
    with pytest.raises(ExportTooLarge, match="'x'"):
        trip.export(Liar(trip.guest, [huge], answers=[huge]))


def test_many_files_are_counted_together(trip: Trip, monkeypatch: pytest.MonkeyPatch) -> None:
    """E2."""
    monkeypatch.setattr(gathering, "EXPORT_BYTES_MAX", 100)
    trip.prepare()
    files = [entry(b"%d" % number, size=10) for number in range(11)]
    with pytest.raises(ExportTooLarge):
        trip.export(Liar(trip.guest, files))


def test_ignore_files_are_bounded(trip: Trip) -> None:
    """E2: all of them, not only each."""
    trip.prepare()
    size = 1 << 20
    directories = [entry(b"%d" % number, DIRECTORY) for number in range(100)]
    files = [entry(each.name + b"/.gitignore", size=size) for each in directories]
    with pytest.raises(ExportTooLarge):
        trip.export(Liar(trip.guest, directories + files))


def test_the_host_runs_nothing_of_the_guests(trip: Trip, tmp_path: Path) -> None:
    """E1: attributes, filters and programs of the guest's git have no say on the host."""
    trip.prepare()
    ran = tmp_path / "ran"
    for key in ("diff.external", "core.fsmonitor", "filter.f.clean", "diff.d.textconv"):
        trip.guest.run_sync(["git", "-C", str(trip.work), "config", key, f"touch {ran}; cat"])
    (trip.work / ".gitattributes").write_bytes(b"* filter=f diff=d\n")
    (trip.work / "x").write_bytes(b"x\n")
    assert b"+x" in trip.export()
    assert not ran.exists()
