"""Odd places: work trees, git directories and objects that lie apart."""

from __future__ import annotations

from pathlib import Path

from tests.support import repositories as repo
from tests.support.odd.registry import clone, commits, odd


@odd()
def linked_work_tree(top: Path) -> Path:
    side = top.with_name("side")
    repo.git(top, "worktree", "add", "--quiet", "-b", "side", str(side))
    repo.write(top, "README", b"only in the main one\n")
    repo.write(side, "README", b"only in the side one\n")
    repo.git(side, "add", "README")
    return side


@odd()
def linked_and_detached(top: Path) -> Path:
    commits(top, 2)
    side = top.with_name("side")
    repo.git(top, "worktree", "add", "--quiet", "--detach", str(side), "HEAD~1")
    return side


@odd()
def work_tree_of_a_bare_repository(top: Path) -> Path:
    bare = top.with_name("bare.git")
    repo.git(top.parent, "clone", "--quiet", "--bare", str(top), str(bare))
    side = top.with_name("side")
    repo.git(bare, "worktree", "add", "--quiet", str(side), "main")
    return side


@odd()
def configuration_of_a_work_tree(top: Path) -> Path:
    """Its sparse checkout is its own."""
    repo.git(top, "config", "extensions.worktreeConfig", "true")
    side = top.with_name("side")
    repo.git(top, "worktree", "add", "--quiet", "-b", "side", str(side))
    repo.git(side, "sparse-checkout", "set", "src")
    return side


@odd()
def directory_below_the_top(top: Path) -> Path:
    return top / "src"


@odd()
def separate_git_directory(top: Path) -> None:
    repo.git(top, "init", "--quiet", "--separate-git-dir", str(top.with_name("elsewhere.git")))


@odd()
def linked_git_directory(top: Path) -> None:
    (top / ".git").rename(top.with_name("moved.git"))
    (top / ".git").symlink_to(top.with_name("moved.git"))


@odd()
def behind_a_link(top: Path) -> Path:
    link = top.with_name("link")
    link.symlink_to(top)
    return link


@odd(refused="bare repository")
def bare(top: Path) -> Path:
    copy = top.with_name("bare.git")
    repo.git(top.parent, "clone", "--quiet", "--bare", str(top), str(copy))
    return copy


@odd(refused="core.worktree")
def work_tree_elsewhere(top: Path) -> None:
    """It would send a directory that the user did not name."""
    repo.git(top, "config", "core.worktree", str(top.parent))


@odd()
def borrowed_objects(top: Path) -> Path:
    commits(top, 3)
    return clone(top, "--reference", str(top))


@odd()
def shared_objects(top: Path) -> Path:
    copy = top.with_name("shared")
    repo.git(top.parent, "clone", "--quiet", "--shared", str(top), str(copy))
    commits(copy, 1)
    return copy


@odd()
def ignores_everything(top: Path) -> None:
    (top / ".git/info/exclude").write_bytes(b"*\n!kept\n")
    repo.write(top, "kept")
    repo.write(top, "ignored")


@odd(left_out="cannot be copied")
def nested_repositories(top: Path) -> None:
    """A repository inside, tracked by nobody."""
    repo.commit(repo.init(top / "inner"))
    repo.commit(repo.init(top / "deep/er/inner"))


@odd()
def large_files(top: Path) -> None:
    """LFS: pointers in commits, contents in the work tree, objects in the git directory."""
    repo.write(top, ".gitattributes", b"*.big filter=lfs diff=lfs merge=lfs -text\n")
    pointers = [large_file(top / ".git", content * 1000) for content in (b"first", b"second")]
    repo.write(top, "a.big", pointers[0])
    repo.write(top, "not-fetched.big", b"version 1\noid sha256:%s\nsize 3\n" % (b"0" * 64))
    repo.commit(top, "first")
    repo.write(top, "a.big", pointers[1])
    repo.commit(top, "second")
    (top / ".git/lfs/objects/tmp").mkdir()
    repo.write(top, ".git/lfs/cache/locks/unrelated", b"x\n")


def large_file(git_dir: Path, content: bytes) -> bytes:
    """Store an object of LFS in a git directory; return its pointer."""
    import hashlib

    name = hashlib.sha256(content).hexdigest()
    repo.write(git_dir, f"lfs/objects/{name[:2]}/{name[2:4]}/{name}", content)
    lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{name}")
    return "\n".join([*lines, f"size {len(content)}\n"]).encode()
