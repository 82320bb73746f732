"""Walk the guest's work tree: find the files that are unchanged, changed or new since the import.

Lists all imported directories with one request, then new directories, level by level. Reads
only `.gitignore` files, and never enters `.git`, a submodule or an ignored directory. A file is
unchanged if its mode, size, inode and both times are: every write and every replacement changes
at least one of them. `banger.guest` has checked the names; names that git cannot hold or that are
unsafe are left out here, and noted. All sizes are bounded (hazard E2).
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from banger.errors import ExportTooLarge
from banger.guest import GuestFiles
from banger.model.entries import GuestEntry
from banger.workspace.base import Base, seen_of
from banger.workspace.excluding import Exclusion
from banger.workspace.guestfiles import read_asked
from banger.workspace.ignoring import IgnoreRules
from banger.workspace.names import is_gitmodules, is_safe_name, parents
from banger.workspace.settings import SIDE_FILE_BYTES_MAX
from banger.workspace.trees import MODE_GITLINK

ENTRIES_MAX = 2_000_000
"""Limit for all directories together."""
PATTERNS_BYTES_MAX = 64 * 1024 * 1024
"""Limit for all .gitignore files together."""
LENGTH_MAX, PART_MAX, DEPTH_MAX = 3000, 255, 200
"""Limits of a new name, whose directories are mirrored on the host: bytes, bytes of each part, and
number of parts."""
_GIT_DIR = b".git"
_GITIGNORE = b".gitignore"


@dataclass
class Findings:
    """The names found in the work tree; each is safe, or in `unsafe`."""

    unchanged: set[bytes] = field(default_factory=set)
    to_read: list[bytes] = field(default_factory=list)
    """Files and links that differ from the import, or are new and not ignored."""
    submodules: list[bytes] = field(default_factory=list)
    """Directories of submodules that exist."""
    some_ignored: bool = False
    nested: list[bytes] = field(default_factory=list)
    """Directories with a `.git` of their own."""
    special: list[bytes] = field(default_factory=list)
    """Pipes, sockets and devices."""
    empty: list[bytes] = field(default_factory=list)
    unsafe: list[bytes] = field(default_factory=list)
    excluded: list[bytes] = field(default_factory=list)
    """New names that the user excluded, and git does not ignore."""


@dataclass
class _Level:
    """New names of one level, before the ignored ones are known."""

    files: list[bytes] = field(default_factory=list)
    directories: list[bytes] = field(default_factory=list)
    special: list[bytes] = field(default_factory=list)
    ignore_files: list[bytes] = field(default_factory=list)

    @property
    def names(self) -> list[bytes]:
        return self.files + self.special


async def walk(
    guest: GuestFiles,
    path: str,
    base: Base,
    rules: IgnoreRules | None,
    exclusion: Exclusion,
    *,
    deadline_s: float,
) -> Findings:
    """Compare the work tree with the base and return the findings.

    `rules` is None where nothing is ignored.

    Raises:
        GuestPathNotFound: there is no directory at `path`.
    """
    walker = _Walker(base, await exclusion.find(base.sparse))
    directories = [b"", *sorted(walker.known_directories)]
    patterns_bytes = 0
    while directories:
        entries = await guest.list_directories(path, directories, deadline_s=deadline_s)
        level = walker.take(entries, directories)
        ignored: frozenset[bytes] = frozenset()
        if rules is not None and (level.names or level.directories):
            patterns = await read_small(guest, path, level.ignore_files, deadline_s=deadline_s)
            patterns_bytes += sum(map(len, patterns.values()))
            _require_room(patterns_bytes)
            rules.add(patterns)
            ignored = await rules.find_ignored(level.names, level.directories)
        excluded = await exclusion.find(level.names, level.directories)
        directories = walker.keep(level, ignored, excluded)
    walker.note_empty()
    return walker.findings


async def read_small(
    guest: GuestFiles, path: str, names: Iterable[bytes], *, deadline_s: float
) -> dict[bytes, bytes]:
    """Return the contents of regular files, without files that are too large.

    Raises:
        ExportTooLarge: the total is too large.
    """
    found: dict[bytes, bytes] = {}
    size = 0
    wanted = sorted(names)
    if not wanted:
        return found
    last = b""
    async for item in read_asked(guest, path, wanted, deadline_s=deadline_s):
        if isinstance(item, GuestEntry):
            last = item.name
            if stat.S_ISREG(item.mode) and item.size <= SIDE_FILE_BYTES_MAX:
                found[last] = b""
        elif last in found:
            size += len(item)
            _require_room(size)
            found[last] += item
    return found


def _require_room(patterns_bytes: int) -> None:
    if patterns_bytes > PATTERNS_BYTES_MAX:
        raise ExportTooLarge(
            f"The .gitignore files in the guest have more than {PATTERNS_BYTES_MAX} bytes.",
            hint="banger vm exec VM -- find . -name .gitignore -size +1M",
        )


class _Walker:
    """Compares entries with the base."""

    def __init__(self, base: Base, excluded: frozenset[bytes]) -> None:
        self.findings = Findings()
        self._files = {file.name: file for file in base.files}
        self._links = {file.name for file in base.files if file.mode == MODE_GITLINK}
        self._sparse = set(base.sparse) - excluded
        self._empty = frozenset(base.empty)
        self._is_plain = base.is_plain
        self.known_directories = {above for name in self._files for above in parents(name)}
        self._count = 0
        self._full: set[bytes] = set()
        """Directories that are not empty."""
        self._listed: set[bytes] = set()

    def take(self, entries: Iterable[GuestEntry], asked: Iterable[bytes]) -> _Level:
        """Process the entries of the requested directories; return the new names."""
        level = _Level()
        allowed = set(asked)
        for entry in entries:
            above, _, last = entry.name.rpartition(b"/")
            if above not in allowed:
                continue  # not requested: the guest lies
            self._full.add(above)
            self._count += 1
            if last == _GIT_DIR:
                is_nested = above or self._is_plain
                if is_nested and above not in self.findings.nested:
                    self.findings.nested.append(above)
            elif not self._can_be_taken(entry):
                self.findings.unsafe.append(entry.name)
            else:
                self._take(entry, last, level)
        if self._count > ENTRIES_MAX:
            raise ExportTooLarge(
                f"The work tree in the guest has more than {ENTRIES_MAX} files.",
                hint="banger vm exec VM -- du --inodes -d 2 .",
            )
        return level

    def keep(
        self, level: _Level, ignored: frozenset[bytes], excluded: frozenset[bytes]
    ) -> list[bytes]:
        """Record the new names that are to be exported; return the directories to list next."""
        self.findings.some_ignored |= bool(ignored)
        self.findings.excluded += excluded - ignored
        ignored |= excluded
        self.findings.to_read += (name for name in level.files if name not in ignored)
        self.findings.special += (name for name in level.special if name not in ignored)
        kept = [name for name in level.directories if name not in ignored]
        self._listed.update(kept)
        return kept

    def note_empty(self) -> None:
        """Record the empty directories."""
        self.findings.empty = sorted(self._listed - self._full - self._empty)

    def _can_be_taken(self, entry: GuestEntry) -> bool:
        name = entry.name
        known = name in self._files or name in self.known_directories
        fits = known or _is_short(name)
        return fits and is_safe_name(name) and not _is_linked_gitmodules(entry)

    def _take(self, entry: GuestEntry, last: bytes, level: _Level) -> None:
        name = entry.name
        if stat.S_ISDIR(entry.mode):
            if name in self._links:
                self.findings.submodules.append(name)
            elif name in self.known_directories:
                self._listed.add(name)
            else:
                level.directories.append(name)
        elif not (stat.S_ISREG(entry.mode) or stat.S_ISLNK(entry.mode)):
            level.special.append(name)
        else:
            if last == _GITIGNORE and stat.S_ISREG(entry.mode):
                level.ignore_files.append(name)
            self._take_file(entry, level)

    def _take_file(self, entry: GuestEntry, level: _Level) -> None:
        known = self._files.get(entry.name)
        if known is not None and known.seen is not None and known.seen == seen_of(entry):
            self.findings.unchanged.add(entry.name)
        elif known is not None or entry.name in self._sparse:
            self.findings.to_read.append(entry.name)
        else:
            level.files.append(entry.name)


def _is_short(name: bytes) -> bool:
    parts = name.split(b"/")
    return len(name) <= LENGTH_MAX and len(parts) <= DEPTH_MAX and max(map(len, parts)) <= PART_MAX


def _is_linked_gitmodules(entry: GuestEntry) -> bool:
    return stat.S_ISLNK(entry.mode) and is_gitmodules(entry.name.rpartition(b"/")[2])
