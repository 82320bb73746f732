"""Odd indexes: formats, flags, sparse ones, and those in the middle of something."""

from __future__ import annotations

from pathlib import Path

from tests.support import repositories as repo
from tests.support.odd.registry import clone, commits, odd


def _divided(top: Path, ours: bytes, theirs: bytes) -> None:
    """Make a branch `other` that changes the same file."""
    repo.git(top, "switch", "--quiet", "-c", "other")
    repo.write(top, "README", theirs)
    repo.commit(top, "theirs")
    repo.git(top, "switch", "--quiet", "main")
    repo.write(top, "README", ours)
    repo.commit(top, "ours")


@odd()
def everything_staged_and_changed(top: Path) -> None:
    for name in (
        "mod",
        "staged",
        "both",
        "gone",
        "staged-gone",
        "mode",
        "type",
        "old-name",
        "back",
    ):
        repo.write(top, name, f"{name}\n".encode())
    repo.commit(top)
    repo.write(top, "mod", b"changed\n")
    repo.write(top, "staged", b"staged\n")
    repo.write(top, "both", b"staged first\n")
    repo.write(top, "new", b"staged, in no commit\n")
    repo.git(top, "add", "staged", "both", "new")
    repo.write(top, "both", b"and changed after\n")
    (top / "gone").unlink()
    repo.git(top, "rm", "--quiet", "staged-gone")
    repo.git(top, "rm", "--quiet", "--cached", "back")
    (top / "mode").chmod(0o755)
    (top / "type").unlink()
    (top / "type").symlink_to("mode")
    repo.git(top, "mv", "old-name", "new-name")


@odd()
def intent_to_add(top: Path) -> None:
    repo.write(top, "intended", b"not yet\n")
    repo.write(top, "gone", b"not yet\n")
    repo.git(top, "add", "--intent-to-add", "intended", "gone")
    (top / "gone").unlink()


@odd()
def everything_deleted(top: Path) -> None:
    (top / "README").unlink()
    (top / "src/main.py").unlink()


@odd()
def without_an_index(top: Path) -> None:
    """To git everything is staged for deletion, and untracked."""
    (top / ".git/index").unlink()


@odd()
def index_of_version_4(top: Path) -> None:
    commits(top, 3)
    repo.git(top, "update-index", "--index-version", "4")


@odd()
def split_index(top: Path) -> None:
    repo.git(top, "update-index", "--split-index")
    repo.write(top, "README", b"staged\n")
    repo.git(top, "add", "README")


@odd()
def index_with_extensions(top: Path) -> None:
    """The cache of untracked names, end marks and offsets, and trees."""
    repo.git(top, "config", "index.threads", "2")
    repo.git(top, "update-index", "--force-untracked-cache")
    repo.write(top, "loose")
    repo.git(top, "status")


@odd()
def assumed_unchanged(top: Path) -> None:
    repo.git(top, "update-index", "--assume-unchanged", "README")
    repo.write(top, "README", b"local only\n")


@odd()
def skipped_in_the_work_tree(top: Path) -> None:
    repo.git(top, "update-index", "--skip-worktree", "README")
    (top / "README").unlink()


@odd()
def sparse_by_cone(top: Path) -> None:
    _with_documents(top)
    repo.git(top, "sparse-checkout", "set", "--cone", "src")


@odd()
def sparse_by_pattern(top: Path) -> None:
    _with_documents(top)
    repo.git(top, "sparse-checkout", "set", "--no-cone", "*.py", "!README")


@odd()
def sparse_index(top: Path) -> None:
    _with_documents(top)
    repo.git(top, "sparse-checkout", "set", "--cone", "--sparse-index", "src")


@odd(refused="missing")
def sparse_and_partial(top: Path) -> Path:
    """What is not checked out was never fetched either."""
    _with_documents(top)
    return clone(top, "--filter=blob:none", "--sparse")


@odd()
def conflict_of_contents(top: Path) -> None:
    _divided(top, b"ours\n", b"theirs\n")
    repo.git(top, "merge", "other", check=False)


@odd()
def conflict_with_a_deletion(top: Path) -> None:
    _divided(top, b"ours\n", b"theirs\n")
    repo.git(top, "rm", "--quiet", "README")
    repo.git(top, "commit", "--quiet", "-m", "gone")
    repo.git(top, "merge", "other", check=False)


@odd()
def conflict_of_additions(top: Path) -> None:
    repo.git(top, "switch", "--quiet", "-c", "other")
    repo.write(top, "added", b"theirs\n")
    repo.commit(top, "theirs")
    repo.git(top, "switch", "--quiet", "main")
    (top / "added").symlink_to("README")
    repo.commit(top, "ours")
    repo.git(top, "merge", "other", check=False)


@odd()
def in_the_middle_of_a_rebase(top: Path) -> None:
    _divided(top, b"ours\n", b"theirs\n")
    repo.git(top, "rebase", "other", check=False)


@odd()
def in_the_middle_of_a_cherry_pick(top: Path) -> None:
    _divided(top, b"ours\n", b"theirs\n")
    repo.git(top, "cherry-pick", "other", check=False)


@odd()
def in_the_middle_of_a_bisection(top: Path) -> None:
    commits(top, 6)
    repo.git(top, "bisect", "start", "HEAD", "HEAD~5")


def _with_documents(top: Path) -> None:
    repo.write(top, "docs/page", b"page\n")
    repo.write(top, "docs/deep/page", b"page\n")
    repo.commit(top, "documents")
