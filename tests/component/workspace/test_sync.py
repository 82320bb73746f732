"""`workspace sync`: each side gets what the other changed, and never loses what it has itself."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from banger.errors import (
    ChangesConflict,
    GuestProtocolError,
    HostFailed,
    InvalidRequest,
    RepositoryRefused,
)
from banger.guest import ConnectedGuest, GuestFiles
from banger.model.entries import GuestEntry
from banger.model.sides import Side
from banger.workspace import read_status, sync_workspace
from banger.workspace.blobs import BlobPack
from banger.workspace.hostside import pack_host_files
from banger.workspace.syncing import Synced
from banger.workspace.syncplan import ConflictKind
from banger.workspace.trees import TreeEntry
from tests.component.workspace.conftest import DEADLINE_S, Trip
from tests.component.workspace.test_hostile_answers import DIRECTORY, LINK, UNSAFE, Liar, entry
from tests.component.workspace.trees import Tree, walk
from tests.support import repositories as repo
from tests.support.agent import agent_connection, find_or_build_agent
from tests.support.local_guest import LocalGuest

K = ConflictKind


@pytest.fixture
def trip(trip: Trip) -> Trip:
    for name in ("lines", "gone", "dir/a", "dir/b", "exec"):
        repo.write(trip.top, name, f"of {name}\n".encode())
    (trip.top / "link").symlink_to("README")
    repo.write(trip.top, ".gitignore", b"*.o\n")
    repo.commit(trip.top)
    return trip


async def start(trip: Trip, guest: GuestFiles | None = None, **options: Any) -> Synced:
    """Sync, and take the new base into the trip's record."""
    record = dataclasses.replace(trip)  # The record of now, whoever else syncs meanwhile.
    done = await sync_workspace(
        guest or trip.guest,
        record.record,
        bases=trip.bases,
        deadline_s=DEADLINE_S,
        scratch=trip.scratch,
        **options,
    )
    assert trip.prepared is not None
    if done.base is not None:
        trip.prepared = dataclasses.replace(trip.prepared, base=done.base)
    assert list(trip.scratch.iterdir()) == []
    return done


def sync(trip: Trip, guest: GuestFiles | None = None, **options: Any) -> Synced:
    return asyncio.run(start(trip, guest, **options))


def files(top: Path) -> Tree:
    return walk(top).files


def named(done: Synced) -> dict[bytes, ConflictKind]:
    return {each.name: each.kind for each in done.conflicts}


def change_one(top: Path) -> None:
    repo.write(top, "README", b"changed\n")
    repo.write(top, "new/deep/file", os.urandom(3000) + b"\0")
    repo.write(top, b"latin-\xe9", b"x\n", mode=0o755)
    (top / "gone").unlink()
    shutil.rmtree(top / "dir")
    repo.write(top, "dir", b"a file now\n")


def change_other(top: Path) -> None:
    (top / "exec").chmod(0o755)
    (top / "link").unlink()
    (top / "link").symlink_to("elsewhere")
    (top / "src/main.py").unlink()
    repo.write(top, "src/main.py/below", b"x\n")
    repo.write(top, "-n", b"like an option\n")


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_both_sides_become_the_same(trip: Trip, plain: bool, turned: bool) -> None:
    """A11: files become directories, links and modes change; the index and HEAD stay."""
    if plain:
        shutil.rmtree(trip.top / ".git")
    trip.prepare(plain=plain)
    for change, top in zip(
        (change_one, change_other), sorted((trip.top, trip.work), reverse=turned), strict=True
    ):
        change(top)
    if not plain:
        repo.git(trip.top, "add", "--intent-to-add", ".")  # New files of the host are tracked.
    kept = None if plain else (trip.top / ".git/index").read_bytes()
    planned = sync(trip, check=True)
    assert files(trip.top) != files(trip.work) and planned.base is None
    done = sync(trip)
    assert not done.conflicts
    assert (done.host, done.guest) == (planned.host, planned.guest)
    assert files(trip.top) == files(trip.work)
    assert b"link" in files(trip.top) and files(trip.top)[b"exec"][0] == "100755"
    assert plain or (trip.top / ".git/index").read_bytes() == kept
    again = sync(trip)
    assert again.base is None and not again.host and not again.guest
    assert trip.export() == b""


def test_what_was_synced_is_neither_changed_nor_stale(trip: Trip) -> None:
    """An export afterwards has only what comes later, and since the commit all of it."""
    trip.prepare()
    repo.write(trip.work, "of-guest", b"1\n")
    repo.write(trip.top, "lines", b"of the host\n")
    for top, time_s in ((trip.top, 10**9), (trip.work, 2 * 10**9)):
        repo.write(top, "README", b"alike\n")
        os.utime(top / "README", (time_s, time_s))
    sync(trip)
    status = asyncio.run(
        read_status(
            trip.guest,
            trip.record,
            bases=trip.bases,
            deadline_s=DEADLINE_S,
            scratch=trip.scratch,
        )
    )
    assert status.changes == () and status.host is not None and status.host.changes == ()
    assert b"+of the host" in trip.export(since_commit=True)
    repo.write(trip.work, "of-guest", b"2\n")
    assert b"-1\n+2\n" in trip.export()
    repo.git(trip.top, "gc", "--quiet", "--prune=now")
    assert b"-1\n+2\n" in trip.export()


def test_a_file_that_came_from_the_guest_goes_on_both_ways(trip: Trip) -> None:
    trip.prepare()
    repo.write(trip.work, "of-guest", b"1\n")
    sync(trip)
    repo.write(trip.top, "of-guest", b"2\n")
    assert list(sync(trip).guest.write) == [b"of-guest"]
    (trip.work / "of-guest").unlink()
    assert sync(trip).host.remove == {b"of-guest"}
    assert not (trip.top / "of-guest").exists()


# --- conflicts ---------------------------------------------------------------------


def both(name: str) -> Callable[[Trip], None]:
    def act(trip: Trip) -> None:
        for top in (trip.top, trip.work):
            repo.write(top, name, os.fsencode(top))
        repo.git(trip.top, "add", "--intent-to-add", ".")

    return act


def deleted_on_host(trip: Trip) -> None:
    (trip.top / "lines").unlink()
    repo.write(trip.work, "lines", b"changed\n")


def deleted_in_guest(trip: Trip) -> None:
    (trip.work / "lines").unlink()
    repo.write(trip.top, "lines", b"changed\n")


def renamed(trip: Trip) -> None:
    (trip.top / "lines").rename(trip.top / "rows")
    repo.git(trip.top, "add", "rows")
    repo.write(trip.work, "lines", b"changed\n")


def mode(trip: Trip) -> None:
    (trip.top / "lines").chmod(0o755)
    repo.write(trip.work, "lines", b"changed\n")


def other_type(trip: Trip) -> None:
    (trip.top / "lines").unlink()
    (trip.top / "lines").symlink_to("README")
    repo.write(trip.work, "lines", b"changed\n")


def pipe_on_host(trip: Trip) -> None:
    (trip.top / "lines").unlink()
    os.mkfifo(trip.top / "lines")


def pipe_in_guest(trip: Trip) -> None:
    (trip.work / "lines").unlink()
    os.mkfifo(trip.work / "lines")


def case(trip: Trip) -> None:
    repo.write(trip.top, "Makefile", b"host\n")
    repo.git(trip.top, "add", "Makefile")
    repo.write(trip.work, "makefile", b"guest\n")


def file_or_directory(trip: Trip) -> None:
    repo.write(trip.top, "added/below", b"host\n")
    repo.git(trip.top, "add", "added")
    repo.write(trip.work, "added", b"guest\n")


def link_out(trip: Trip) -> None:
    (trip.top / "added").symlink_to(trip.scratch)
    repo.write(trip.work, "added/below", b"guest\n")


def untracked_on_host(trip: Trip) -> None:
    repo.write(trip.top, ".env", b"SECRET=1\n")
    repo.write(trip.work, ".env", b"guest\n")


def ignored_in_guest(trip: Trip) -> None:
    repo.write(trip.work, "x.o", b"built\n")
    repo.write(trip.top, "x.o", b"of the host\n")
    repo.git(trip.top, "add", "-f", "x.o")


def ignored_below(trip: Trip) -> None:
    repo.write(trip.work, "dir/x.o", b"built\n")
    shutil.rmtree(trip.top / "dir")
    repo.write(trip.top, "dir", b"a file now\n")
    repo.git(trip.top, "add", "--intent-to-add", "dir")


CONFLICTS = {
    "both changed": (both("lines"), {b"lines": K.BOTH_CHANGED}),
    "both added": (both("more"), {b"more": K.BOTH_ADDED}),
    "deleted on host": (deleted_on_host, {b"lines": K.DELETED_ON_HOST}),
    "deleted in guest": (deleted_in_guest, {b"lines": K.DELETED_IN_GUEST}),
    "renamed": (renamed, {b"lines": K.RENAMED, b"rows": K.RENAMED}),
    "mode": (mode, {b"lines": K.MODE}),
    "type": (other_type, {b"lines": K.TYPE}),
    "pipe on host": (pipe_on_host, {b"lines": K.TYPE}),
    "pipe in guest": (pipe_in_guest, {b"lines": K.TYPE}),
    "case": (case, {b"Makefile": K.CASE, b"makefile": K.CASE}),
    "file or directory": (
        file_or_directory,
        {b"added": K.DIRECTORY_IN_THE_WAY, b"added/below": K.FILE_IN_THE_WAY},
    ),
    "link out": (link_out, {b"added/below": K.FILE_IN_THE_WAY}),
    "untracked": (untracked_on_host, {b".env": K.UNTRACKED}),
    "ignored": (ignored_in_guest, {b"x.o": K.CHANGED_MEANWHILE}),
}


@pytest.mark.parametrize("kind", CONFLICTS)
def test_a_conflict_is_named_and_stays_on_both_sides(trip: Trip, kind: str) -> None:
    """A5, A11, E1: the rest is synced, again it is the same; nothing goes through a link."""
    trip.prepare()
    collide, expected = CONFLICTS[kind]
    collide(trip)
    before = walk(trip.top), walk(trip.work)
    repo.write(trip.work, "of-guest", b"1\n")
    for done in (sync(trip), sync(trip)):
        assert named(done) == expected
        assert not done.guest
    after = walk(trip.top), walk(trip.work)
    assert after[0].files.pop(b"of-guest") == after[1].files.pop(b"of-guest")
    for now, then in zip(after, before, strict=True):
        assert (now.files, now.special) == (then.files, then.special)


def test_what_is_ignored_below_a_directory_is_in_the_way(trip: Trip) -> None:
    trip.prepare()
    ignored_below(trip)
    assert named(sync(trip)) == {b"dir": K.CHANGED_MEANWHILE}
    assert (trip.work / "dir/x.o").read_bytes() == b"built\n"
    assert (trip.top / "dir").read_bytes() == b"a file now\n"


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(
    "kind", ["both changed", "both added", "deleted on host", "deleted in guest", "renamed",
             "mode", "type"],
)  # fmt: skip
def test_a_preferred_side_ends_a_conflict(trip: Trip, kind: str, side: Side) -> None:
    trip.prepare()
    CONFLICTS[kind][0](trip)
    mine = files(trip.top if side is Side.HOST else trip.work)
    sync(trip)
    assert not sync(trip, prefer=side).conflicts
    after = files(trip.top)
    assert after == files(trip.work) and mine.items() <= after.items()
    assert not sync(trip).conflicts


def test_an_untracked_file_never_leaves_the_host(trip: Trip) -> None:
    """A5: not even if it is preferred, or was once the same as the guest's."""
    trip.prepare()
    for top in (trip.top, trip.work):
        repo.write(top, ".env", b"\n")
    assert not sync(trip).conflicts
    repo.write(trip.top, ".env", b"SECRET=1\n")
    for prefer in (None, Side.HOST):
        done = sync(trip, prefer=prefer)
        assert named(done) == {b".env": K.UNTRACKED}
        assert done.notices == ("Untracked files of the host not copied: 1 (git add -N FILE).",)
    assert (trip.work / ".env").read_bytes() == b"\n"


# --- what happens meanwhile ------------------------------------------------------------


class BusyGuest(LocalGuest):
    """Has something done before the nth listing or transfer."""

    def __init__(self, guest: LocalGuest, when: int, act: Callable[[], None]) -> None:
        super().__init__(guest.home)
        self.when, self.act = when, act

    def count(self) -> None:
        self.when -= 1
        if self.when == 0:
            self.act()

    async def list_directories(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> list[GuestEntry]:
        self.count()
        return await super().list_directories(path, names, deadline_s=deadline_s)


@pytest.mark.parametrize("on_host", [False, True])
def test_what_changes_meanwhile_stays(trip: Trip, on_host: bool) -> None:
    """A11: between the plan and the write, on the side that is written to."""
    trip.prepare()
    top, other = (trip.top, trip.work) if on_host else (trip.work, trip.top)
    for name in ("lines", "README"):
        repo.write(other, name, b"changed\n")
    (other / "gone").unlink()

    def meddle() -> None:
        repo.write(top, "lines", b"meanwhile\n")
        repo.write(top, "gone", b"meanwhile\n")

    # The host is written to after the guest was looked at for a third time, if that is needed.
    repo.write(trip.top, "exec", b"changed\n")
    done = sync(trip, BusyGuest(trip.guest, 2, meddle))
    assert named(done) == {b"lines": K.CHANGED_MEANWHILE, b"gone": K.CHANGED_MEANWHILE}
    assert (top / "lines").read_bytes() == (top / "gone").read_bytes() == b"meanwhile\n"
    assert (top / "README").read_bytes() == b"changed\n"
    assert named(sync(trip)) == {
        b"lines": K.BOTH_CHANGED,
        b"gone": K.DELETED_IN_GUEST if on_host else K.DELETED_ON_HOST,
    }


def test_a_write_directly_after_the_sync_is_a_change(trip: Trip) -> None:
    trip.prepare()
    repo.write(trip.top, "lines", b"changed\n")

    def meddle() -> None:
        repo.write(trip.work, "lines", b"CHANGED\n")

    assert not sync(trip, BusyGuest(trip.guest, 3, meddle)).conflicts
    assert list(sync(trip).host.write) == [b"lines"]


def test_a_side_that_lost_everything_deletes_nothing(trip: Trip) -> None:
    trip.prepare()
    for name in os.listdir(trip.work):
        shutil.rmtree(trip.work / name) if (trip.work / name).is_dir() else (
            trip.work / name
        ).unlink()
    with pytest.raises(ChangesConflict, match="gone from the guest"):
        sync(trip)
    assert files(trip.top)[b"README"] == ("100644", b"read me\n")


def test_a_guest_that_was_restored_overwrites_nothing(trip: Trip) -> None:
    """Its old files are not changes of its own."""
    trip.prepare()
    saved = trip.work.with_name("saved")
    subprocess_copy(trip.work, saved)
    repo.write(trip.top, "lines", b"of the host\n")
    repo.write(trip.work, "README", b"of the guest\n")
    sync(trip)
    shutil.rmtree(trip.work)
    saved.rename(trip.work)
    (trip.work.parent / ".project.banger-synced").unlink()
    for done in (sync(trip), sync(trip)):
        assert named(done) == {b"lines": K.BOTH_ADDED, b"README": K.BOTH_ADDED}
    assert (trip.top / "lines").read_bytes() == b"of the host\n"
    assert not sync(trip, prefer=Side.HOST).conflicts
    assert files(trip.top) == files(trip.work)


def test_a_guest_that_was_restored_to_before_a_prepare_overwrites_nothing(trip: Trip) -> None:
    """A11: its older files are no changes to what the host's were when they were copied again."""
    trip.prepare()
    saved = trip.work.with_name("saved")
    subprocess_copy(trip.work, saved)
    mark = trip.work.parent / ".project.banger-synced"
    before = mark.read_bytes()
    repo.write(trip.top, "lines", b"newer\n")
    repo.write(trip.top, "new", b"newer\n")
    trip.prepare(include_untracked=True)
    shutil.rmtree(trip.work)
    saved.rename(trip.work)
    mark.write_bytes(before)
    done = sync(trip)
    assert named(done) == {b"lines": K.BOTH_ADDED} and "restored" in "".join(done.notices)
    assert (trip.top / "lines").read_bytes() == (trip.top / "new").read_bytes() == b"newer\n"


def subprocess_copy(source: Path, target: Path) -> None:
    """Keep inodes and times by linking, as a snapshot of a disk does."""
    shutil.copytree(source, target, symlinks=True, copy_function=os.link)
    for name in ("lines", "README"):
        (target / name).unlink()
        shutil.copy2(source / name, target / name)


def test_a_directory_that_may_not_be_written_is_named(trip: Trip) -> None:
    """H6: and when it may be, the next sync goes on."""
    trip.prepare()
    repo.write(trip.work, "dir/new", b"1\n")
    (trip.top / "dir").chmod(0o500)
    with pytest.raises(HostFailed, match="Permission denied"):
        sync(trip)
    (trip.top / "dir").chmod(0o700)
    assert list(sync(trip).host.write) == [b"dir/new"]


def test_a_file_of_the_host_that_changes_while_it_is_packed(trip: Trip, tmp_path: Path) -> None:
    entry = TreeEntry(0o100644, "0" * 40)
    with open(tmp_path / "pack", "w+b") as output:
        files = {b"lines": entry, b"not-there": entry}
        assert pack_host_files(trip.top, files, BlobPack(output, "sha1", level=0)) == files.keys()


# --- a guest that lies -----------------------------------------------------------------


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_of_gits_own_never_comes(trip: Trip, name: bytes) -> None:
    """E1."""
    trip.prepare()
    above = [entry(name[:at], DIRECTORY) for at, c in enumerate(name) if c == ord("/")]
    assert not sync(trip, Liar(trip.guest, [*above, entry(name)])).host


def test_a_file_below_a_link_never_comes(trip: Trip) -> None:
    """E1."""
    trip.prepare()
    guest = Liar(trip.guest, [entry(b"a", LINK), entry(b"a", DIRECTORY), entry(b"a/b")])
    with pytest.raises(GuestProtocolError, match="as a directory"):
        sync(trip, guest)
    assert not (trip.top / "a").exists()


# --- what takes no part ----------------------------------------------------------------


def test_what_a_sparse_checkout_omits_stays_on_the_other_side(trip: Trip) -> None:
    trip.prepare()
    repo.git(trip.top, "sparse-checkout", "set", "--no-cone", "/README", "/lines")
    repo.write(trip.work, "lines", b"changed\n")
    done = sync(trip)
    assert not done.conflicts and not done.guest and list(done.host.write) == [b"lines"]
    assert (trip.work / "src/main.py").exists() and not (trip.top / "src").exists()


def test_what_a_dead_sync_left_takes_no_part(trip: Trip) -> None:
    """A9: and it goes with the next file that comes into its directory."""
    shutil.rmtree(trip.top / ".git")
    trip.prepare(plain=True)
    repo.write(trip.top, "dir/.banger-cp.0123456789ab", b"half", mode=0o600)
    repo.write(trip.work, "dir/.banger-1.part", b"half")
    assert not sync(trip).guest and not (trip.top / "dir/.banger-1.part").exists()
    repo.write(trip.work, "dir/new", b"1\n")
    sync(trip)
    assert {path.name for path in (trip.top / "dir").iterdir()} == {"a", "b", "new"}


def test_what_comes_is_on_the_disk_before_the_base(
    trip: Trip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A11: with its names; and until then it has the mode by which a leftover is known."""
    trip.prepare()
    repo.write(trip.work, "dir/deep/new", b"1\n")
    (trip.work / "gone").unlink()
    flushed: list[tuple[Path, int]] = []
    flush = os.fsync

    def note(fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        flushed.append((path, os.fstat(fd).st_mode & 0o777))
        flush(fd)

    monkeypatch.setattr(os, "fsync", note)
    assert sync(trip).base
    known = [mode for path, mode in flushed if path.name.startswith(".banger-cp.")]
    paths = [path for path, _ in flushed]
    first = next(n for n, path in enumerate(paths) if path.is_relative_to(trip.scratch))
    assert {trip.top, trip.top / "dir", trip.top / "dir/deep"} <= set(paths[:first])
    assert known == [0o600]


@pytest.mark.parametrize("full", [False, True])
def test_submodules_take_no_part(trip: Trip, full: bool) -> None:
    shutil.rmtree(trip.top)
    repo.make_repository(trip.top, files=40, total_mib=1)
    trip.prepare(full=full)
    repo.write(trip.work, "no-newline", b"changed\n")
    if full:
        repo.write(trip.work, "vendor/sub/new", b"1\n")
        repo.commit(trip.work / "vendor/sub")
    for written in ([b"no-newline"], []):
        done = sync(trip)
        assert list(done.host.write) == written
        assert not done.guest and not done.host.remove and not done.conflicts
    assert not (trip.top / "vendor/sub/new").exists()


def test_another_commit_is_refused(trip: Trip) -> None:
    first = repo.git(trip.top, "rev-parse", "HEAD~1").decode().strip()
    trip.prepare(branch="b", from_ref=first)
    with pytest.raises(RepositoryRefused, match="but of a commit"):
        sync(trip)


def test_a_read_only_workspace_is_refused(trip: Trip) -> None:
    trip.prepare()
    record = structs.replace(trip.record, is_read_only=True)
    with pytest.raises(InvalidRequest, match="read-only"):
        asyncio.run(sync_workspace(trip.guest, record, bases=trip.bases, deadline_s=DEADLINE_S))


def test_the_modes_of_the_hosts_directories_stay(trip: Trip) -> None:
    trip.prepare()
    (trip.top / "dir").chmod(0o700)
    (trip.top / "dir/a").chmod(0o600)
    (trip.work / "src").chmod(0o711)
    repo.write(trip.work, "dir/a", b"changed\n")
    repo.write(trip.top, "src/main.py", b"changed\n", mode=0o755)
    sync(trip)
    assert (trip.top / "dir").stat().st_mode & 0o777 == 0o700
    assert (trip.top / "dir/a").stat().st_mode & 0o777 == 0o600
    assert (trip.work / "src").stat().st_mode & 0o777 == 0o711


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_lose_nothing(trip: Trip, tmp_path: Path, seed: int) -> None:
    """A11: as the plan's model says, but with real files and the real agent, in rounds."""
    rng = random.Random(seed)
    agent = find_or_build_agent(tmp_path)
    trip.prepare()

    async def rounds() -> None:
        async with agent_connection(agent) as connection:
            guest = ConnectedGuest(connection)
            for _ in range(6):
                before = files(trip.top)
                for top in (trip.top, trip.work):
                    change_at_random(top, rng)
                repo.git(trip.top, "add", "--intent-to-add", ".")
                ours, theirs = files(trip.top), files(trip.work)
                done = await start(trip, guest)
                for mine, now in ((ours, files(trip.top)), (theirs, files(trip.work))):
                    changed = {n: e for n, e in mine.items() if before.get(n) != e}
                    assert changed.items() <= now.items()
                await start(trip, guest, prefer=Side.HOST)
                left = await start(trip, guest)
                assert named(left).keys() <= named(done).keys()
                for name in files(trip.top).items() ^ files(trip.work).items():
                    assert name[0] in named(left)

    asyncio.run(rounds())


def change_at_random(top: Path, rng: random.Random) -> None:
    names = ["README", "lines", "dir", "dir/a", "dir/b", "dir/a/c", "new", "new/x", "src/main.py"]
    for name in rng.sample(names, 3):
        path = top / name
        try:
            match rng.choice(("write", "delete", "link", "mode")):
                case "write":
                    repo.write(top, name, rng.randbytes(8))
                case "delete":
                    path.unlink()
                case "link":
                    path.unlink(missing_ok=True)
                    path.symlink_to(f"../{rng.random()}")
                case _:
                    path.chmod(0o755)
        except OSError:
            continue
