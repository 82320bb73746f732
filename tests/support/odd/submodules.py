"""Odd submodules."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support import repositories as repo
from tests.support.odd.registry import clone, commits, odd, start

BUSY = "Submodules with changes"


def add(top: Path, path: str = "vendor/sub", *, name: str = "sub", source: str = "source") -> Path:
    """Add a submodule and commit that; return its directory."""
    origin = top.with_name(source)
    if not origin.exists():
        start(origin)
        commits(origin, 2)
    repo.git(top, "submodule", "--quiet", "add", "--name", name, f"file://{origin}", path)
    repo.commit(top, f"add {path}")
    return top / path


@odd()
def submodule(top: Path) -> None:
    add(top)


@odd(notices=BUSY)
def submodules_within_submodules(top: Path) -> None:
    add(start(top.with_name("middle")))
    add(top, "outer", name="outer", source="middle")
    repo.git(top, "submodule", "--quiet", "update", "--init", "--recursive")
    repo.write(top, "outer/vendor/sub/README", b"changed at the bottom\n")


@odd()
def submodule_that_is_not_there(top: Path) -> Path:
    """As after a clone."""
    add(top)
    return clone(top)


@odd()
def submodule_whose_directory_is_gone(top: Path) -> None:
    shutil.rmtree(add(top))


@odd(notices=BUSY)
def submodule_with_changes(top: Path) -> None:
    inside = add(top)
    repo.write(inside, "README", b"changed\n")
    repo.write(inside, "staged", b"staged\n")
    repo.git(inside, "add", "staged")
    repo.write(inside, "untracked", b"x\n")


@odd()
def submodule_at_another_commit(top: Path) -> None:
    inside = add(top)
    repo.write(inside, "README", b"committed here only\n")
    repo.commit(inside, "ahead")


@odd()
def submodule_at_a_staged_commit(top: Path) -> None:
    inside = add(top)
    repo.git(inside, "checkout", "--quiet", "HEAD~1")
    repo.git(top, "add", "vendor/sub")


@odd()
def submodule_with_a_git_directory_inside(top: Path) -> None:
    """As git made them before 1.7.8, and as `git init` in a directory does."""
    inner = start(top / "vendor/sub")
    repo.git(top, "add", "vendor/sub")
    repo.commit(top, "a gitlink without .gitmodules")
    assert (inner / ".git").is_dir()


@odd()
def submodule_that_moved(top: Path) -> None:
    """Its path and its name differ, and both are odd."""
    add(top, "vendor/sub", name='od d."name"')
    repo.git(top, "mv", "vendor/sub", "a place")
    repo.commit(top, "moved")


@odd()
def submodule_of_a_work_tree(top: Path) -> Path:
    add(top)
    side = top.with_name("side")
    repo.git(top, "worktree", "add", "--quiet", "-b", "side", str(side))
    repo.git(side, "submodule", "--quiet", "update", "--init")
    return side


@odd()
def inside_a_submodule(top: Path) -> Path:
    return add(top)


@odd()
def submodule_without_history(top: Path) -> None:
    inside = add(top)
    repo.git(top, "submodule", "--quiet", "deinit", "--force", "vendor/sub")
    shutil.rmtree(top / ".git/modules/sub")
    repo.git(top, "submodule", "--quiet", "update", "--init", "--depth", "1")
    assert (inside / "README").exists()


@odd(stays_home="vendor/sub")
def submodule_outside_of_the_repository(top: Path) -> None:
    """Its `.git` leads to a repository that is none of its business: the contents stay home."""
    inside = add(top)
    private = start(top.with_name("private"))
    repo.git(private, "config", "core.worktree", str(inside))
    (inside / ".git").write_text(f"gitdir: {private}/.git\n")


@odd(refused_full="no commit yet")
def submodule_without_a_commit(top: Path) -> None:
    inside = add(top)
    repo.git(inside, "update-ref", "-d", "HEAD")


@odd()
def many_submodules(top: Path) -> None:
    for number in range(4):
        add(top, f"vendor/sub{number}", name=f"sub{number}")
    repo.git(top / "vendor/sub1", "checkout", "--quiet", "--detach")
    repo.git(top, "submodule", "--quiet", "deinit", "--force", "vendor/sub2")
