"""List the names in an index, a work tree or a commit with git, and check the files.

Git runs on a private index (`shadow.py`) and knows no program of the repository's
choice. Read-only on the work tree. Names that no file may have are refused here, once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from banger.errors import RepositoryRefused
from banger.workspace.facts import Change, FileKind, WorkFile
from banger.workspace.git import shadow_git
from banger.workspace.locate import Places
from banger.workspace.names import is_safe_name
from banger.workspace.trees import MODE_GITLINK, MODE_SYMLINK
from banger.workspace.worktree import is_sendable, open_work_tree


@dataclass(frozen=True)
class Listing:
    """Git's lists of names: tracked (with mode), changed, untracked."""

    tracked: dict[bytes, int]
    changes: tuple[Change, ...]
    untracked: tuple[bytes, ...]
    nested: tuple[bytes, ...]
    conflicts: tuple[bytes, ...]

    @property
    def names(self) -> frozenset[bytes]:
        """The names that are in the index, or in the commit and not in the index."""
        return frozenset(self.tracked).union(change.name for change in self.changes)

    def without(self, excluded: frozenset[bytes]) -> Listing:
        """Return the same without these names."""
        return Listing(
            {name: mode for name, mode in self.tracked.items() if name not in excluded},
            tuple(change for change in self.changes if change.name not in excluded),
            tuple(name for name in self.untracked if name not in excluded),
            self.nested,
            self.conflicts,
        )


async def list_names(git_dir: Path, places: Places) -> Listing:
    """Refresh the private index and list its names."""
    status = await shadow_git(
        git_dir,
        places.top,
        "status",
        "--porcelain=v2",
        "-z",
        "--untracked-files=all",
        "--no-renames",
        # Entering a submodule would run git with the submodule's configuration.
        "--ignore-submodules=all",
    )
    staged = await shadow_git(git_dir, places.top, "ls-files", "--stage", "-z")
    changes, untracked = parse_status(status.stdout)
    stages = _parse_stages(staged.stdout)
    return Listing(
        tracked=require_safe({name: mode for mode, _, name in stages}, places),
        changes=changes,
        untracked=tuple(name for name in untracked if not name.endswith(b"/")),
        nested=tuple(name for name in untracked if name.endswith(b"/")),
        conflicts=tuple(dict.fromkeys(name for _, stage, name in stages if stage)),
    )


async def skip_entries(git_dir: Path, top: Path, names: Iterable[bytes]) -> None:
    """Mark entries of the private index as absent from the work tree on purpose."""
    stdin = b"".join(name + b"\0" for name in names)
    if stdin:
        skip = ("update-index", "--skip-worktree", "-z", "--stdin")
        await shadow_git(git_dir, top, *skip, stdin=stdin)


def parse_status(output: bytes) -> tuple[tuple[Change, ...], tuple[bytes, ...]]:
    """Return changes and untracked names from `git status --porcelain=v2 -z --no-renames`."""
    changes: list[Change] = []
    untracked: list[bytes] = []
    for record in output.split(b"\0")[:-1]:
        kind = record[:1]
        if kind == b"?":
            untracked.append(record[2:])
        elif kind in (b"1", b"u"):
            # "1 XY sub mH mI mW hH hI path"; "u" has one more mode and one more hash.
            name = record.split(b" ", 8 if kind == b"1" else 10)[-1]
            letters = record[2:4].decode("ascii").replace(".", " ")
            changes.append(Change(name, staged=letters[0], unstaged=letters[1]))
    return tuple(changes), tuple(untracked)


def _parse_stages(output: bytes) -> list[tuple[int, int, bytes]]:
    """Return (mode, stage, name) from `git ls-files --stage -z`."""
    stages = []
    for record in output.split(b"\0")[:-1]:
        facts, _, name = record.partition(b"\t")
        mode, _, stage = facts.split(b" ")
        stages.append((int(mode, 8), int(stage), name))
    return stages


def require_safe(tracked: dict[bytes, int], places: Places) -> dict[bytes, int]:
    for name in tracked:
        if not is_safe_name(name):
            raise RepositoryRefused(
                f"The index of {places.top} holds the name {os.fsdecode(name)!r}, "
                "which reaches outside the work tree or into .git.",
                hint=f"git -C {places.top} fsck",
            )
    return tracked


def gitlinks(tracked: dict[bytes, int]) -> tuple[bytes, ...]:
    return tuple(sorted(name for name, mode in tracked.items() if mode == MODE_GITLINK))


def survey(top: Path, wanted: dict[bytes, int]) -> tuple[tuple[WorkFile, ...], tuple[bytes, ...]]:
    """Return the existing files that can be sent, and the names of those that cannot.

    Raises:
        RepositoryRefused: the user may not read a file.
    """
    files: list[WorkFile] = []
    left_out: list[bytes] = []
    with open_work_tree(top) as tree:
        for name in sorted(wanted):
            status = tree.status(name)
            if status is None:
                continue
            if wanted[name] == MODE_GITLINK:
                if stat.S_ISDIR(status.st_mode):
                    files.append(WorkFile(name, FileKind.GITLINK, 0))
            elif is_sendable(status):
                link = stat.S_ISLNK(status.st_mode)
                if not link:
                    tree.require_readable(name)
                kind = FileKind.SYMLINK if link else FileKind.FILE
                files.append(WorkFile(name, kind, 0 if link else status.st_size))
            elif not stat.S_ISDIR(status.st_mode):
                left_out.append(name)
    return tuple(files), tuple(left_out)


def parse_tree(output: bytes) -> tuple[dict[bytes, int], dict[bytes, int]]:
    """Return modes and sizes by name from `git ls-tree -r -z --long`."""
    modes: dict[bytes, int] = {}
    sizes: dict[bytes, int] = {}
    for record in output.split(b"\0")[:-1]:
        facts, _, name = record.partition(b"\t")
        mode, _, _, size = facts.split()
        modes[name] = int(mode, 8)
        sizes[name] = 0 if size == b"-" else int(size)
    return modes, sizes


def tree_kind(mode: int) -> FileKind:
    if mode == MODE_GITLINK:
        return FileKind.GITLINK
    return FileKind.SYMLINK if mode == MODE_SYMLINK else FileKind.FILE
