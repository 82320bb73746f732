"""What is known of a repository and its work tree, in a form by which two can be compared."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support import repositories as repo

REFS = ("refs/heads", "refs/tags", "refs/remotes/origin", "refs/notes", "refs/replace")
LOG = "--format=%H%n%T%n%P%n%an%n%ae%n%ad%n%cn%n%cd%n%G?%n%e%n%N%n%B"
Listing = dict[str, object]


def list_repository(top: Path, *, full: bool) -> Listing:
    """Return what host and guest have to agree on.

    Of the commit alone: HEAD, the index, the status of tracked files, their modes and contents.
    In full also all references, the log, submodules, and untracked files.
    """
    ignored = "none" if full else "all"
    untracked = "all" if full else "no"
    status = ("status", "--porcelain=v2", "-z", f"--ignore-submodules={ignored}", "--no-renames")
    listing: Listing = {
        "head": repo.git(top, "rev-parse", "HEAD"),
        "branch": repo.git(top, "symbolic-ref", "--quiet", "HEAD", check=False),
        "commit": repo.git(top, "--no-replace-objects", "cat-file", "commit", "HEAD"),
        "status": repo.git(top, *status, f"--untracked-files={untracked}"),
        "index": repo.git(top, "ls-files", "--stage", "-t", "-v", "-z"),
        "identity": repo.git(top, "config", "user.email", check=False),
        "files": list_files(top, untracked=full),
    }
    return listing | (_list_rest(top) if full else {})


def _list_rest(top: Path) -> Listing:
    log = ("log", "--date=raw", LOG, "HEAD", "--branches", "--tags", "--remotes=origin")
    refs = repo.git(top, "for-each-ref", "--format=%(refname) %(objectname) %(symref)", *REFS)
    return {
        "refs": {line for line in refs.splitlines() if _leads_to_a_ref(line)},
        "log": repo.git(top, *log),
        "replaced": repo.git(top, "--no-replace-objects", *log),
        "described": repo.git(top, "describe", "--tags", "--always"),
        "ahead": repo.git(top, "status", "--short", "--branch", "--untracked-files=no"),
        "submodules": repo.git(top, "submodule", "status", "--recursive", check=False),
        "large": repo.snapshot(top / ".git/lfs/objects") if (top / ".git/lfs").is_dir() else {},
    }


def _leads_to_a_ref(line: bytes) -> bool:
    target = line.split(b" ")[2]
    return not target or target.decode().startswith(REFS)


def list_files(top: Path, *, untracked: bool) -> dict[bytes, tuple[str, bytes]]:
    """Return kind and content of the files that git tracks, or that it does not ignore either."""
    options = ("--cached", "--others") if untracked else ("--cached",)
    listed = repo.git(top, "ls-files", "-z", *options, "--exclude-standard").split(b"\0")[:-1]
    if untracked:
        listed += [b"%s/%s" % each for each in _inside_submodules(top)]
    root = os.fsencode(top)
    return {name: entry for name in listed if (entry := _entry(os.path.join(root, name)))}


def _inside_submodules(top: Path) -> list[tuple[bytes, bytes]]:
    """Return each submodule's directory with each of the names in it."""
    staged = repo.git(top, "ls-files", "--stage", "-z").split(b"\0")[:-1]
    links = [entry.partition(b"\t")[2] for entry in staged if entry.startswith(b"160000 ")]
    full = [name for name in links if (top / os.fsdecode(name) / ".git").exists()]
    return [
        (name, inner)
        for name in full
        for inner in list_files(top / os.fsdecode(name), untracked=True)
    ]


def _entry(path: bytes) -> tuple[str, bytes] | None:
    if os.path.islink(path):
        return "link", os.readlink(path)
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return "x" if os.stat(path).st_mode & 0o100 else "-", file.read()
