"""The entries of the corpus, and how a function becomes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support import repositories as repo

Build = Callable[[Path], Path | None]


@dataclass(frozen=True)
class Odd:
    """One repository of the corpus."""

    name: str
    build: Callable[[Path], Path]
    """Writes the repository below an empty directory; returns what the user names."""
    refused: str | None = None
    """Pattern of the refusal of a copy of the commit, and of a full copy."""
    refused_full: str | None = None
    """Pattern of the refusal of a full copy alone."""
    notices: str | None = None
    """Pattern of the notice of an export, though the guest did nothing."""
    stays_home: str | None = None
    """Directory of a submodule that a full copy leaves empty, since it leads elsewhere."""
    left_out: str | None = None
    """Pattern of the notice of a copy that leaves something out, so that the status differs."""

    def refusal(self, *, full: bool) -> str | None:
        """Return the pattern of the refusal of a copy; None if it works."""
        return self.refused or (self.refused_full if full else None)


CORPUS: dict[str, Odd] = {}


def odd(
    *,
    refused: str | None = None,
    refused_full: str | None = None,
    notices: str | None = None,
    stays_home: str | None = None,
    left_out: str | None = None,
) -> Callable[[Build], Build]:
    """Add a function to the corpus. It gets a repository of two files and one commit.

    It may return another directory than that of the repository.
    """

    def add(build: Build) -> Build:
        def whole(directory: Path) -> Path:
            top = start(directory / "project")
            return build(top) or top

        name = build.__name__
        assert name not in CORPUS
        CORPUS[name] = Odd(name, whole, refused, refused_full, notices, stays_home, left_out)
        return build

    return add


def start(top: Path, branch: str = "main") -> Path:
    """Make a repository of two files and one commit."""
    repo.init(top, branch)
    repo.write(top, "README", b"read me\n")
    repo.write(top, "src/main.py", b"print('hello')\n", mode=0o755)
    repo.commit(top, "first")
    return top


def commits(top: Path, number: int) -> None:
    """Add commits, each with a change of one file."""
    for each in range(number):
        repo.write(top, f"src/part{each % 3}", b"%d\n" % each)
        repo.commit(top, f"number {each}")


def clone(top: Path, *options: str) -> Path:
    """Clone a repository beside itself; return the clone."""
    copy = top.with_name("copy") / "project"
    repo.git(top, "config", "uploadpack.allowFilter", "true")
    repo.git(top.parent, "clone", "--quiet", *options, f"file://{top}", str(copy))
    for key, value in (("user.name", "Re Po"), ("user.email", "repo@example.com")):
        repo.git(copy, "config", key, value)
    return copy
