"""What a full copy of a repository has besides one commit: references, upstreams, large files.

Branches, tags, the branches of `origin`, notes and replacements are copied, so that `git log`
in the guest says what it says on the host. Stashes, reflogs and the references of other remotes
stay on the host.

Reads references and configuration (`git.py`), the list of shallow commits, and the names of the
LFS objects below the git directory. Writes nothing, takes no lock.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from banger.errors import BranchConflict
from banger.workspace.facts import FileKind, History, Ref, WorkFile
from banger.workspace.git import host_git
from banger.workspace.locate import Places
from banger.workspace.names import is_safe_name, parents
from banger.workspace.settings import read_side_file
from banger.workspace.worktree import open_work_tree

_COPIED = ("refs/heads", "refs/tags", "refs/remotes/origin", "refs/notes", "refs/replace")
_FORMAT = "--format=%(objectname) %(refname) %(symref)"
_OBJECT_ID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_UPSTREAM = re.compile(r"branch\.(?P<name>.+)\.(?:remote|merge)", re.DOTALL)
_LARGE_FILES = b"lfs/objects"
_LARGE_FILE_LEVELS = (rb"[0-9a-f]{2}", rb"[0-9a-f]{2}", rb"[0-9a-f]{64}")
"""The names in `lfs/objects`, by level; the last one is the SHA-256 of the content."""


async def load_history(
    places: Places, config: Mapping[str, bytes], *, branch: str | None
) -> History:
    """Return the history to copy, without submodules. `branch` is the new branch, if there is one.

    Raises:
        BranchConflict: the new branch cannot exist beside the others.
    """
    listed = await host_git(places.top, "for-each-ref", _FORMAT, *_COPIED)
    refs = parse_refs(os.fsdecode(listed.stdout))
    _require_room_for(branch, refs, places)
    return History(
        refs=refs,
        boundary=_read_boundary(places.shallow),
        options=tuple(_upstreams(config)),
        large_files=find_large_files(common_dir(places)),
    )


def parse_refs(listed: str) -> tuple[Ref, ...]:
    """Return the references that `git for-each-ref` lists, sorted; those that lead nowhere are
    left out.
    """
    fields = [line.split(" ", 2) for line in listed.splitlines()]
    names = {name for _, name, _ in fields}
    refs = [Ref(name, symref or oid) for oid, name, symref in fields]
    good = (ref for ref in refs if not ref.is_symbolic or ref.target in names)
    safe = (ref for ref in good if is_safe_name(os.fsencode(ref.name)))
    return tuple(sorted(safe, key=lambda ref: os.fsencode(ref.name)))


def common_dir(places: Places) -> Path:
    """Return the git directory that all work trees of the repository share."""
    return places.objects.parent


def find_large_files(common: Path) -> tuple[WorkFile, ...]:
    """Return the LFS objects in a git directory, with names relative to it; sorted."""
    found = []
    with open_work_tree(common) as tree:
        for name in sorted(_names(os.fsencode(common), _LARGE_FILES, _LARGE_FILE_LEVELS)):
            # None for a name behind a symbolic link, which could lead anywhere.
            status = tree.status(name)
            if status is not None and stat.S_ISREG(status.st_mode):
                tree.require_readable(name)
                found.append(WorkFile(name, FileKind.FILE, status.st_size))
    return tuple(found)


def _names(top: bytes, directory: bytes, levels: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the names of which each part below `directory` matches the pattern of its level."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for part in os.listdir(os.path.join(top, directory)):
            name = directory + b"/" + part
            if not re.fullmatch(levels[0], part):
                continue
            if len(levels) == 1:
                yield name
            else:
                yield from _names(top, name, levels[1:])


def _read_boundary(shallow: Path) -> tuple[str, ...]:
    lines = read_side_file(shallow).split(b"\n")
    return tuple(line.decode() for line in lines if _OBJECT_ID.fullmatch(line))


def _upstreams(config: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the keys of branches that follow a branch of `origin`, or a local one."""
    for key, value in config.items():
        match = _UPSTREAM.fullmatch(key)
        if match is None or config.get(f"branch.{match['name']}.remote") not in (b"origin", b"."):
            continue
        if not key.endswith(".merge") or value.startswith(b"refs/heads/"):
            yield key, value


def _require_room_for(branch: str | None, refs: tuple[Ref, ...], places: Places) -> None:
    """Check that the new branch is not the directory of another, nor below another."""
    if branch is None:
        return
    ours = f"refs/heads/{branch}"
    above = {os.fsdecode(name) for name in parents(os.fsencode(ours))}
    for ref in refs:
        if ref.name in above or ref.name.startswith(f"{ours}/"):
            other = ref.name.removeprefix("refs/heads/")
            raise BranchConflict(
                f"The branch {other} in {places.top} conflicts with the name {branch}.",
                hint=f"git -C {places.top} branch --list, then choose another name",
            )
