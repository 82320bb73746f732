"""Product contract, section 5 step 1: the path is checked before anything exists."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from banger.errors import NotARepository
from banger.workspace.locate import locate_repository
from tests.support import repositories as repo


def test_finds_the_top_from_anywhere_inside(tmp_path: Path) -> None:
    top = repo.init(tmp_path / "r")
    (top / "a/b").mkdir(parents=True)
    assert locate_repository(top) == locate_repository(top / "a/b") == top


def test_finds_worktrees_and_submodules(tmp_path: Path) -> None:
    top = tmp_path / "r"
    repo.make_repository(top, files=40, total_mib=1)
    repo.git(top, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    assert locate_repository(tmp_path / "side") == tmp_path / "side"
    assert locate_repository(top / "vendor/sub") == top / "vendor/sub"


def test_refuses_what_is_no_work_tree(tmp_path: Path) -> None:
    top = repo.init(tmp_path / "r")
    repo.git(tmp_path, "init", "--quiet", "--bare", "bare")
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/.git").write_text("gitdir: /nonexistent\n")
    (tmp_path / "dangling").symlink_to("nowhere")
    for path, said in {
        tmp_path / "missing": "does not exist",
        tmp_path / "file": "is not a directory",
        tmp_path / "plain": "is not in a git repository",
        tmp_path / "bare": "is a bare repository",
        top / ".git": "is inside a git directory",
        top / ".git/objects": "is inside a git directory",
        tmp_path / "broken": "is not in a git repository",
        tmp_path / "dangling": "is not a directory",
    }.items():
        with pytest.raises(NotARepository, match=said):
            locate_repository(path)


def test_refuses_a_line_break_in_the_path(tmp_path: Path) -> None:
    with pytest.raises(NotARepository, match="line break"):
        locate_repository(repo.init(tmp_path / "a\nb"))


def test_names_with_odd_bytes_work(tmp_path: Path) -> None:
    top = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 x"))
    assert locate_repository(repo.init(top)) == top


def test_an_environment_that_points_elsewhere_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = repo.init(tmp_path / "other")
    top = repo.init(tmp_path / "r")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert locate_repository(top) == top


def test_loads_nothing_heavy() -> None:
    """The command line calls it on the way of every `vm run`."""
    script = "import sys, banger.workspace.locate; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"asyncio", "msgspec", "subprocess", "banger.model.vm"} & set(loaded)
