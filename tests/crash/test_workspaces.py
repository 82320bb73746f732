"""kill -9 of the daemon while a workspace goes into a guest, or comes back (A3, A4, A9, B5, C1).

None of it is journalled: it is made so that whatever was cut off is nothing, and can be done
again. First each verb runs to its end once, and tells its points: each git on the host, each
request to the guest, each chunk between them, and the transaction at the end. Then it dies at
them; after each death the host's repository is what it was, up to the whole branch that was asked
for, the guest is well, and the verb done again does what it does without a death.

SAMPLE deaths of each verb; BANGER_TEST_CRASH=all dies at every point on both sides.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from banger.errors import BangerError
from tests.support.deaths import SIDES
from tests.support.installations import Installation, wait_for
from tests.support.repositories import commit, git, init, make_repository, status, write
from tests.support.sampling import NUMBER, choose
from tests.support.worlds import World, open_world

SAMPLE = 2
PLACE = "/root/project"
BRANCH = "work/result"
LOADER = '#!/bin/sh\nexec /opt/git/loader --library-path /opt/git /opt/git/git "$@"\n'
CHANGE = """
git config user.name Guest; git config user.email guest@example.com
echo committed >committed.txt; git add -A; git commit -qm 'from the guest'
head -c 100000 /dev/urandom >noise.bin; rm src/part0/unit0.bin; echo more >>committed.txt
"""
LOOK = "sha256sum <.git/index; git rev-parse HEAD; git for-each-ref; git status --porcelain"


class Repository(NamedTuple):
    """A repository of the host, and all that is in it."""

    top: Path
    before: dict[str, str]
    status: list[bytes]
    """What `git status` says, and should in the guest."""


@pytest.fixture(scope="module")
def world(own_of_module: Installation) -> Iterator[World]:
    """A world without the templates that nobody here needs."""
    with open_world(World(own_of_module)) as world:
        yield world


@pytest.fixture(scope="module")
def repository(world: World, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository with changes of its own, and a guest that has a git."""
    top = tmp_path_factory.mktemp("crash") / "project"
    make_repository(top, files=60, total_mib=1)
    write(top, "staged.txt", b"staged\n")
    git(top, "add", "staged.txt")
    write(top, "src/part1/unit1.py", b"changed\n")
    write(top, "untracked.txt", b"untracked\n")
    world.make_witness("one")
    world.banger.exec("one", *"tar -C / -xf -".split(), stdin=pack_git(), status=0)
    listed = [line for line in status(top) if b"untracked.txt" not in line]
    # Only then: to ask has git write its index anew.
    return Repository(top, read_all(top), listed)


def pack_git() -> bytes:
    """Return the host's git with what it needs, as a tar for a guest that has none."""
    program = shutil.which("git")
    assert program is not None
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = re.findall(r"=> (/\S+)", listed)
    (loader,) = re.findall(r"^\s*(/\S+)", listed, re.MULTILINE)
    files = {"opt/git/git": program, "opt/git/loader": loader}
    files |= {f"opt/git/{Path(path).name}": path for path in libraries}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        for name, path in files.items():
            tar.add(os.path.realpath(path), name)
        wrapper = tarfile.TarInfo("usr/local/bin/git")
        wrapper.mode, wrapper.size = 0o755, len(LOADER)
        tar.addfile(wrapper, io.BytesIO(LOADER.encode()))
    return packed.getvalue()


def read_all(top: Path) -> dict[str, str]:
    """Return every file below a directory, with its time: who rewrites one is seen."""
    found = {}
    for path in sorted(top.rglob("*")):
        seen = path.lstat()
        if path.is_symlink():
            found[str(path.relative_to(top))] = f"-> {os.readlink(path)}"
        elif path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(top))] = f"{digest} {seen.st_mode:o} {seen.st_mtime_ns}"
    return found


# --- the verbs, and what is so after them ---


class Workspaces:
    """What is done with the workspace of one VM."""

    def __init__(self, world: World, repository: Repository) -> None:
        self.world = world
        self.top, self.before, self.status = repository
        self.patch = b""

    def guest(self, script: str) -> str:
        return self.world.exec("one", f"cd {PLACE} && set -eu; {script}")

    def prepare(self) -> Any:
        params = {"ref": "one", "path": str(self.top), "guest_path": PLACE}
        return self.world.client.call("workspace.prepare", params)

    def export(self) -> bytes:
        stream = self.world.client.stream("workspace.export", {"ref": "one"})
        try:
            return b"".join(data for _, data in stream)
        finally:
            stream.close()

    def export_branch(self) -> Any:
        params = {"ref": "one", "branch": BRANCH, "include_uncommitted": True}
        return self.world.client.call("workspace.export_branch", params)

    def prepare_and_change(self) -> None:
        """Have a workspace with changes in the guest, and know what comes of them."""
        if self.patch:
            return
        self.prepare()
        self.guest(CHANGE)
        self.patch = self.export()
        assert b"noise.bin" in self.patch and b"committed.txt" in self.patch
        self.looked = self.guest(LOOK)

    # --- after a death ---

    def require_untouched_host(self, *, branch: bool) -> None:
        """Check that the repository is what it was, but for a whole branch if there may be one."""
        git_dir = self.top / ".git"
        # A git that was orphaned ends by itself.
        wait_for(lambda: not list(git_dir.rglob("*.lock")), "the locks to go")
        now = read_all(self.top)
        names = {name for name, _ in now.items() - self.before.items()}
        gone = self.before.keys() - now.keys()
        assert not gone, gone
        allowed = (r"\.git/objects/.*", rf"\.git/(logs/)?refs/heads/{BRANCH}") if branch else ()
        foreign = [name for name in names if not any(re.fullmatch(a, name) for a in allowed)]
        assert not foreign, foreign
        assert not [name for name in names if "tmp_" in name], names

    def require_whole_branch(self) -> None:
        """Check the branch, if it is there, and remove it."""
        listed = git(self.top, "for-each-ref", f"refs/heads/{BRANCH}").decode().split()
        if listed:
            git(self.top, "fsck", "--connectivity-only", "--no-dangling", listed[0])
            assert git(self.top, "show", f"{BRANCH}:committed.txt") == b"committed\nmore\n"
            git(self.top, "update-ref", "-d", f"refs/heads/{BRANCH}")

    def require_prepared(self) -> None:
        """Check that the workspace is the repository's work tree, and nothing else is left."""
        head = git(self.top, "rev-parse", "HEAD").decode()
        assert self.guest("git rev-parse HEAD") == head
        listed = self.guest("git status --porcelain -z --untracked-files=all --no-renames")
        assert sorted(listed.encode().split(b"\0")[:-1]) == self.status
        left = self.world.exec("one", "ls -A /root | grep -v '^[.]bash\\|^[.]profile'").split()
        beside = {".project.banger-previous", ".project.banger-synced", ".gitconfig"}
        assert set(left) <= {"project", *beside}, left

    def require_unchanged_guest(self) -> None:
        assert self.guest(LOOK) == self.looked
        assert self.guest("ls .git/banger").split() == ["workspace"]


@pytest.fixture(scope="module")
def workspaces(world: World, repository: Repository) -> Iterator[Workspaces]:
    yield Workspaces(world, repository)
    # Whatever was added to the repository, it is a repository.
    git(repository.top, "fsck", "--strict")


def deaths(points: list[str]) -> list[tuple[str, str, int]]:
    """Return the deaths to try: side, point, and the how manieth of that name it is.

    Of a stream's chunks only the first two: how many there are is different each time.
    """
    seen: Counter[str] = Counter()
    found = []
    for point in points:
        seen[point] += 1
        if seen[point] <= 2 or not point.endswith("chunk"):
            found += [(side, point, seen[point]) for side in SIDES]
    return choose(found, SAMPLE)


def test_death_of_a_prepare(world: World, workspaces: Workspaces) -> None:
    """A9, B5: there is a whole workspace, this or the one before; it can be prepared again."""

    def check() -> None:
        workspaces.require_untouched_host(branch=False)
        assert workspaces.export() == fresh
        workspaces.prepare()
        workspaces.require_prepared()
        workspaces.require_untouched_host(branch=False)

    tried = world.recorded(workspaces.prepare)
    assert tried[-1] == "workspace" and "guest tar chunk" in tried
    workspaces.require_prepared()
    fresh = workspaces.export()
    die_at_all(world, deaths(tried), workspaces.prepare, check)


def test_death_of_an_export(world: World, workspaces: Workspaces) -> None:
    """A3, A4, B5: nothing is left on the host, nothing changed in the guest; again is the same."""
    workspaces.prepare_and_change()

    def check() -> None:
        workspaces.require_untouched_host(branch=False)
        assert workspaces.export() == workspaces.patch
        workspaces.require_unchanged_guest()

    tried = world.recorded(workspaces.export)
    assert "guest list" in tried and "guest read chunk" in tried
    die_at_all(world, deaths(tried), workspaces.export, check)


def test_death_of_an_export_of_a_branch(world: World, workspaces: Workspaces) -> None:
    """A4, A9, B5: the branch is whole or not there; HEAD, index, work tree are what they were."""
    workspaces.prepare_and_change()

    def check() -> None:
        workspaces.require_untouched_host(branch=True)
        workspaces.require_whole_branch()
        assert workspaces.export_branch()["branch"] == BRANCH
        workspaces.require_untouched_host(branch=True)
        workspaces.require_whole_branch()
        workspaces.require_unchanged_guest()

    tried = world.recorded(workspaces.export_branch)
    assert "git update-ref" in tried and "git index-pack" in tried
    workspaces.require_whole_branch()
    die_at_all(world, deaths(tried), workspaces.export_branch, check)


class BothSides:
    """A small repository and its workspace, which are changed and synced round by round."""

    place = "/srv/both"

    def __init__(self, world: World, top: Path) -> None:
        self.world, self.top, self.round = world, init(top), 0
        for name in ("ours", "theirs", "kept"):
            write(top, name, b"first\n")
        commit(top)
        params = {"ref": "one", "path": str(top), "guest_path": self.place}
        world.client.call("workspace.prepare", params)

    def sync(self) -> Any:
        return self.world.client.call("workspace.sync", {"ref": "one"})

    def change(self) -> None:
        """Change, make and delete a file on each side."""
        self.round += 1
        before, now = self.round - 1, self.round
        write(self.top, "ours", f"{now}\n".encode() * 2000)
        (self.top / f"ours-{before}").unlink(missing_ok=True)
        for name in (f"ours-{now}", f"made-{now}"):
            write(self.top, name, b"of the host\n")
            git(self.top, "add", "--intent-to-add", name)
        # What came from the guest is untracked: if a death came before the base, a deletion on one
        # side would not reach the other.
        script = f"echo {now} >theirs; rm -f made-{before}; echo of the guest >theirs-{now}"
        self.world.exec("one", f"cd {self.place} && {script}")

    def require_synced(self) -> None:
        """Check that both sides have what each has changed."""
        now = self.round
        made = [f"made-{now}", f"ours-{now}", *(f"theirs-{each + 1}" for each in range(now))]
        files = sorted(["kept", "ours", "theirs", *made])
        sums = "".join(
            f"{hashlib.sha256((self.top / name).read_bytes()).hexdigest()}  {name}\n"
            for name in files
        )
        assert {path.name for path in self.top.iterdir()} == {".git", *files}
        assert self.world.exec("one", f"cd {self.place} && sha256sum *") == sums
        assert (self.top / "theirs").read_bytes() == b"%d\n" % self.round
        assert (self.top / "ours").read_bytes() == b"%d\n" % self.round * 2000


def test_death_of_a_sync(world: World, workspaces: Workspaces, tmp_path: Path) -> None:
    """A9, A11, B5: no side loses a file, and done again both have what each has changed."""
    both = BothSides(world, tmp_path / "both")

    def check() -> None:
        assert both.sync()["conflicts"] == []
        both.require_synced()
        both.change()

    both.change()
    tried = world.recorded(both.sync)
    assert tried[-1] == "workspace" and "git pack-objects" in tried
    check()
    die_at_all(world, deaths(tried), both.sync, check)
    workspaces.patch = b""  # The other tests prepare theirs anew.


def die_at_all(world: World, chosen: list[tuple[str, str, int]], act: Any, check: Any) -> None:
    """Die at each point; collect what was wrong afterwards."""
    wrong = []
    world.recoveries.clear()
    for side, point, times in chosen:
        try:
            assert world.die(side, point, act, times=times), "the daemon did not get there"
            world.open_daemon()
            world.settle()
            world.require_unharmed("one")
            check()
        except (AssertionError, BangerError) as error:
            wrong.append(f"{side} {point} {times}: {error!r}"[:900])
            if world.daemon.poll() is not None:
                world.open_daemon()
    slowest = max(world.recoveries, default=0.0)
    print(f"{len(chosen)} deaths in sample {NUMBER}, slowest recovery {slowest:.1f} s")
    assert not wrong, f"{len(wrong)} of {len(chosen)}:\n" + "\n".join(wrong)
