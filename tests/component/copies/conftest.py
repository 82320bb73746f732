"""Trees of both sides, and a daemon with the real agent."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.component.daemon.running import banger, layout_of, scripted_daemon
from tests.support.forked import Forked


@dataclass
class Copies:
    """A daemon, a directory of this host, and one that is the guest's workspace."""

    environ: dict[str, str]
    daemon: Forked
    here: Path
    there: Path

    def cp(
        self, *words: str, status: int = 0, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        done = banger(self.environ, "cp", *words, stdin=stdin, cwd=self.here)
        assert done.returncode == status, (done.returncode, done.stderr)
        return done

    def refused(self, *words: str, status: int) -> str:
        """Return the message of a command that must fail."""
        done = self.cp(*words, status=status)
        assert b"bug" not in done.stderr
        return done.stderr.decode()

    def send_hostile(self, content: bytes) -> None:
        """Have the VM `hostile` send this."""
        (layout_of(self.environ).state / "hostile.tar").write_bytes(content)


@pytest.fixture
def copies(
    private_environ: dict[str, str], short_dir: Path, agent_binary: Path
) -> Iterator[Copies]:
    here, there = short_dir / "here", short_dir / "there"
    here.mkdir()
    there.mkdir()
    environ = private_environ | {
        "BANGER_TEST_AGENT": str(agent_binary),
        "BANGER_TEST_WORKSPACE": str(there),
    }
    with scripted_daemon(environ, "tests.component.copies.agent_daemon") as daemon:
        yield Copies(environ, daemon, here, there)


Picture = dict[str, tuple[object, ...]]


def picture(top: Path) -> Picture:
    """What is below a directory: kinds, modes, times, contents, targets, and which are one file."""
    found: Picture = {}
    first: dict[int, str] = {}
    for directory, names, files in os.walk(os.fsencode(top)):
        names.sort()  # else which name is a file's first depends on the file system
        for name in sorted(names + files):
            path = os.path.join(directory, name)
            relative = repr(os.path.relpath(path, os.fsencode(top)))
            status = os.lstat(path)
            what: object = None
            if stat.S_ISLNK(status.st_mode):
                what = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                what = Path(os.fsdecode(path)).read_bytes()
            same = first.setdefault(status.st_ino, relative)
            found[relative] = (status.st_mode, status.st_mtime_ns, what, same)
    return dict(sorted(found.items()))


def make_tree(top: Path) -> Path:
    """A tree with something of every kind."""
    (top / "sub/empty").mkdir(parents=True)
    (top / "file").write_bytes(b"content\n")
    (top / "sub/big").write_bytes(os.urandom(300_000))
    (top / "sub/run.sh").write_bytes(b"#!/bin/sh\n")
    (top / "sub/run.sh").chmod(0o750)
    (top / "link").symlink_to("sub/big")
    (top / "dangling").symlink_to("/nowhere/at all")
    (top / "sub/twin").hardlink_to(top / "file")
    (top / ("n" * 200)).write_bytes(b"")
    os.close(os.open(os.fsencode(top) + b"/caf\xe9", os.O_CREAT, 0o600))
    os.utime(top / "file", ns=(0, 1_234_567_890_123_456_789))
    os.utime(top / "sub/run.sh", ns=(0, -1_500_000_000))
    (top / "sub/empty").chmod(0o700)
    for directory in (top / "sub/empty", top / "sub", top):
        os.utime(directory, ns=(0, 1_000_000_000_000_000_001))
    return top
