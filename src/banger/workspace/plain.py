"""A directory that is no repository, inspected as if it were one.

Its commit is a constant one without files, which exists only in banger's own git directories, so
that an export has something to compare with; the contents as they were put in are in the base.
The guest gets the files alone, without a `.git`. The user's directory is read and never written.

Everything in it is copied, but no `.git` at any depth: a repository's configuration may hold
credentials. Neither is a whole home directory, which holds keys (hazard A5).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from banger.errors import InternalError, RepositoryRefused
from banger.workspace.excluding import Exclusion
from banger.workspace.facts import FileKind, RepositoryFacts, Settings, WorkFile
from banger.workspace.git import shadow_git
from banger.workspace.listing import survey
from banger.workspace.locate import Places, locate_directory
from banger.workspace.names import is_safe_name
from banger.workspace.settings import load_config, load_settings
from banger.workspace.shadow import private_dir

ENTRIES_MAX = 2_000_000
"""As many as an export lists."""
_COMMIT = (
    b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"
    b"author banger <banger@localhost> 0 +0000\n"
    b"committer banger <banger@localhost> 0 +0000\n"
    b"\n"
    b"A plain directory\n"
)
START = hashlib.sha1(b"commit %d\0" % len(_COMMIT) + _COMMIT, usedforsecurity=False).hexdigest()
"""The commit of every plain directory: one without files."""
_NOWHERE = Path("/dev/null/nowhere")
"""A path at which nothing can ever be."""
_KEPT = ("core.autocrlf", "core.eol", "user.name", "user.email")


@dataclass
class _Found:
    files: list[bytes] = field(default_factory=list)
    empty: list[bytes] = field(default_factory=list)
    left_out: list[bytes] = field(default_factory=list)

    def without(self, excluded: frozenset[bytes]) -> _Found:
        """Return the same without these names."""
        files = [name for name in self.files if name not in excluded]
        return _Found(files, [n for n in self.empty if n not in excluded], self.left_out)


async def inspect_directory(
    path: str | os.PathLike[str], *, exclude: bytes = b"", scratch: Path | None = None
) -> RepositoryFacts:
    """Return the facts about a directory that is copied as it is.

    `exclude`: patterns of what is left out, as an ignore file. `scratch` is the parent of the
    temporary directory.

    Raises:
        NotARepository: `path` is no directory that can be read.
        RepositoryRefused: it contains the user's home, or something that cannot be read.
    """
    top = await asyncio.to_thread(locate_directory, path)
    _require_part_of_home(top)
    places = plain_places(top)
    settings = await load_settings(places, await load_config(places))
    found = await asyncio.to_thread(_walk, os.fsencode(top))
    if exclude:
        with private_dir(scratch) as directory:
            exclusion = Exclusion(exclude, directory, places, START)
            found = found.without(await exclusion.find(found.files, found.empty))
    files, special = await asyncio.to_thread(survey, top, dict.fromkeys(found.files, 0))
    empty = (WorkFile(name, FileKind.DIRECTORY, 0) for name in found.empty)
    return RepositoryFacts(
        places=places,
        head_commit=START,
        head_branch=None,
        commit=START,
        branch=None,
        has_parents=False,
        index=None,
        index_mtime_s=0,
        files=tuple(sorted((*files, *empty), key=lambda file: file.name)),
        changes=(),
        untracked=(),
        untracked_included=True,
        conflicts=(),
        submodules=(),
        left_out=tuple(sorted((*special, *found.left_out))),
        settings=Settings(tuple(each for each in settings.options if each[0] in _KEPT)),
        is_plain=True,
        patterns=exclude,
    )


def plain_places(top: Path) -> Places:
    """Return the places of a directory that has nothing of a repository."""
    return Places(
        top=top,
        git_dir=_NOWHERE,
        index=_NOWHERE,
        objects=_NOWHERE,
        exclude=_NOWHERE,
        attributes=_NOWHERE,
        sparse_patterns=_NOWHERE,
        shallow=_NOWHERE,
        object_format="sha1",
    )


async def write_start(git_dir: Path) -> None:
    """Write the commit of plain directories into a private git directory."""
    await shadow_git(git_dir, git_dir, "hash-object", "-t", "tree", "-w", "--stdin")
    made = await shadow_git(
        git_dir, git_dir, "hash-object", "-t", "commit", "-w", "--stdin", stdin=_COMMIT
    )
    if made.text.strip() != START:
        raise InternalError(f"git names the first commit {made.text.strip()!r}.")


def _require_part_of_home(top: Path) -> None:
    home = Path.home().resolve()
    if home.is_relative_to(top):
        raise RepositoryRefused(
            f"{top} contains your whole home directory, with its keys.",
            hint=f"ls {top}, then name one of its directories",
        )


def _walk(top: bytes) -> _Found:
    """Find the names below a directory, without following links."""
    found = _Found()
    count = 0
    for directory, entries in _directories(top):
        count += len(entries)
        if count > ENTRIES_MAX:
            raise RepositoryRefused(
                f"{os.fsdecode(top)} has more than {ENTRIES_MAX} files.",
                hint=f"du --inodes -d 2 {os.fsdecode(top)}",
            )
        if directory and not entries:
            found.empty.append(directory)
        for name, is_directory in entries:
            if not is_safe_name(name):
                found.left_out.append(name)
            elif not is_directory:
                found.files.append(name)
    return found


def _directories(top: bytes) -> Iterator[tuple[bytes, list[tuple[bytes, bool]]]]:
    """Yield each directory with the names in it, and whether they are directories."""
    waiting = [b""]
    while waiting:
        directory = waiting.pop()
        try:
            with os.scandir(os.path.join(top, directory)) as listed:
                names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listed]
        except PermissionError as error:
            path = os.fsdecode(os.path.join(top, directory))
            raise RepositoryRefused(
                f"{path} is not readable by you.", hint=f"ls -ld {path}"
            ) from error
        entries = [(directory + b"/" + name if directory else name, is_) for name, is_ in names]
        yield directory, entries
        waiting += (name for name, is_directory in entries if is_directory and is_safe_name(name))
