"""Many files that a sync writes on the host, in several batches."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from banger.workspace.hostside import change_host, look_at_host
from banger.workspace.syncplan import SideChanges
from banger.workspace.trees import TreeEntry
from tests.support import repositories as repo

NAMES = [b"part%d/file%d" % (number % 7, number) for number in range(75)]
EXECUTABLE = NAMES[5]
CHANGES = SideChanges(
    {n: TreeEntry(0o100755 if n == EXECUTABLE else 0o100644, "") for n in NAMES}, frozenset()
)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """The host's directory, with every second file, and that of the new contents."""
    top, made = tmp_path / "top", tmp_path / "made"
    for number, name in enumerate(NAMES):
        repo.write(made, name, b"new %d\n" % number)
        if number % 2:
            repo.write(top, name, b"old\n", mode=0o640)
    return top, made


def contents(top: Path) -> dict[bytes, bytes]:
    return {name: content for name, (_, content) in repo.snapshot(top).items()}


def test_all_batches_are_written(places: tuple[Path, Path]) -> None:
    """A9: with the modes that are there, and nothing else."""
    top, made = places
    assert change_host(top, CHANGES, look_at_host(top, NAMES), made) == frozenset()
    assert contents(top) == contents(made)
    modes = {name: stat.S_IMODE((top / name.decode()).stat().st_mode) for name in NAMES}
    assert modes.pop(EXECUTABLE) == 0o750
    assert modes == {name: 0o640 if name in NAMES[1::2] else 0o644 for name in modes}


def test_what_changed_meanwhile_stays_and_costs_no_other(places: tuple[Path, Path]) -> None:
    """A11, E1: a file that is another by now, and a directory that has become a link."""
    top, made = places
    known = look_at_host(top, NAMES)
    repo.write(top, NAMES[41], b"changed meanwhile\n")
    (top / "part3").rename(top.parent / "outside")
    (top / "part3").symlink_to("../outside")
    outside = contents(top.parent / "outside")
    left = frozenset({NAMES[41], *(name for name in NAMES if name.startswith(b"part3/"))})
    assert change_host(top, CHANGES, known, made) == left
    assert contents(top.parent / "outside") == outside
    written = contents(top)
    assert written.pop(NAMES[41]) == b"changed meanwhile\n" and b"part3" in written
    del written[b"part3"]
    assert written == {n: content for n, content in contents(made).items() if n not in left}
