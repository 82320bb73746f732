"""Find the submodules of a repository that have contents on the host.

A submodule is a repository of its own, and may be as hostile as the one that contains it (hazard
F4): its `.git` file could name any git directory of the host, such as that of a private
repository. So its git directory and its objects have to be inside the containing repository.

Reads `.gitmodules` as data, and each submodule through `locate.py`. Writes nothing, takes no lock.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from banger.errors import NotARepository
from banger.workspace.git import shadow_git
from banger.workspace.history import common_dir
from banger.workspace.locate import Places, locate_places
from banger.workspace.settings import SIDE_FILE_BYTES_MAX, strip_credentials
from banger.workspace.worktree import open_work_tree

_PATH_KEY = re.compile(r"submodule\.(?P<label>.+)\.path", re.DOTALL)
_GITMODULES = b".gitmodules"


@dataclass(frozen=True)
class FoundSubmodule:
    """A submodule with contents; the fields are those of `facts.Submodule`."""

    name: bytes
    label: str | None
    url: bytes
    places: Places


async def find_submodules(
    places: Places, git_dir: Path, names: Iterable[bytes], config: Mapping[str, bytes]
) -> AsyncIterator[FoundSubmodule]:
    """Yield those of the submodules `names` that can be copied with their contents.

    `git_dir` is a shadow of the repository, `config` the repository's own configuration.
    """
    labels = await _load_labels(places, git_dir)
    for name in names:
        inner = await asyncio.to_thread(_locate, places, name)
        if inner is not None:
            label = labels.get(name)
            url = config.get(f"submodule.{label}.url", b"")
            yield FoundSubmodule(name, label, strip_credentials(url), inner)


def _locate(outer: Places, name: bytes) -> Places | None:
    """Return the parts of a submodule; None if it is empty or lies outside of the repository."""
    directory = outer.top / os.fsdecode(name)
    if not os.path.lexists(directory / ".git"):
        return None
    try:
        places = locate_places(directory)
    except NotARepository:
        return None
    own = (common_dir(outer).resolve(), directory.resolve())
    inside = all(
        any(path.resolve().is_relative_to(each) for each in own)
        for path in (places.git_dir, places.objects)
    )
    return places if inside and places.top.samefile(directory) else None


async def _load_labels(places: Places, git_dir: Path) -> dict[bytes, str]:
    """Return the names that `.gitmodules` gives to submodules, by directory."""
    content = await asyncio.to_thread(_read_gitmodules, places.top)
    listing = ("config", "--file", "-", "--list", "-z")
    listed = await shadow_git(git_dir, places.top, *listing, stdin=content, ok=(0, 1, 128))
    labels = {}
    for entry in listed.stdout.split(b"\0")[:-1]:
        key, _, value = entry.partition(b"\n")
        match = _PATH_KEY.fullmatch(os.fsdecode(key))
        if match is not None:
            labels[value] = match["label"]
    return labels


def _read_gitmodules(top: Path) -> bytes:
    """Return the content of `.gitmodules`; empty if it is no regular file of moderate size."""
    with open_work_tree(top) as tree:
        status = tree.status(_GITMODULES)
        if status is None or not stat.S_ISREG(status.st_mode):
            return b""
        with os.fdopen(tree.open(_GITMODULES), "rb") as file:
            return file.read(SIDE_FILE_BYTES_MAX)
