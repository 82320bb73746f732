"""Plan a sync: which files go from the host to the guest and which the other way. Pure.

For each name there are three sides: the base (as both were when they last agreed), the host's and
the guest's. What one side changed goes to the other; what both changed in the same way is agreed;
everything else is a conflict, and stays on both sides as it is. Nothing is merged. A plan never
overwrites or removes what one side has and the base had not, unless a side is preferred.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum

from banger.model.sides import Side
from banger.workspace.names import parents
from banger.workspace.trees import REGULAR, Entries, TreeEntry


class ConflictKind(StrEnum):
    """Why a name is not synced. The values are in the API."""

    BOTH_CHANGED = "both-changed"
    BOTH_ADDED = "both-added"
    DELETED_ON_HOST = "deleted-on-host"
    DELETED_IN_GUEST = "deleted-in-guest"
    RENAMED = "renamed"
    MODE = "mode"
    TYPE = "type"
    CASE = "case"
    FILE_IN_THE_WAY = "file-in-the-way"
    DIRECTORY_IN_THE_WAY = "directory-in-the-way"
    UNTRACKED = "untracked"
    CHANGED_MEANWHILE = "changed-meanwhile"


_REASONS = {
    ConflictKind.BOTH_CHANGED: "changed on both sides",
    ConflictKind.BOTH_ADDED: "added on both sides",
    ConflictKind.DELETED_ON_HOST: "deleted on the host, changed in the guest",
    ConflictKind.DELETED_IN_GUEST: "deleted in the guest, changed on the host",
    ConflictKind.RENAMED: "renamed on one side, and changed or renamed on the other",
    ConflictKind.MODE: "its mode or its content changed on each side",
    ConflictKind.TYPE: "another type of file on each side",
    ConflictKind.CASE: "the other side has a name that differs in case only",
    ConflictKind.FILE_IN_THE_WAY: "the other side has a file or link in place of its directory",
    ConflictKind.DIRECTORY_IN_THE_WAY: "the other side has a directory of this name",
    ConflictKind.UNTRACKED: "an untracked file on the host, which is not copied",
    ConflictKind.CHANGED_MEANWHILE: "changed during the sync, or ignored on the other side",
}
_PREFERABLE = {
    ConflictKind.BOTH_CHANGED,
    ConflictKind.BOTH_ADDED,
    ConflictKind.DELETED_ON_HOST,
    ConflictKind.DELETED_IN_GUEST,
    ConflictKind.RENAMED,
    ConflictKind.MODE,
    ConflictKind.TYPE,
    ConflictKind.UNTRACKED,
}


@dataclass(frozen=True)
class SyncConflict:
    """A name that a person has to decide about."""

    name: bytes
    kind: ConflictKind
    other: bytes | None = None
    """The other name of a rename, or the name that differs in case only."""

    @property
    def reason(self) -> str:
        """The kind for people to read."""
        return _REASONS[self.kind]


@dataclass(frozen=True)
class SideFiles:
    """The files of one side."""

    entries: Mapping[bytes, TreeEntry]
    other: frozenset[bytes] = frozenset()
    """Names of what cannot be copied: pipes, sockets, devices."""
    below: Mapping[bytes, frozenset[bytes]] = field(default_factory=dict)
    """Directories with files that are not in `entries`, each with the names below it."""
    private: frozenset[bytes] = frozenset()
    """Names in `entries` that the other side must not learn: untracked files of the host."""


@dataclass(frozen=True)
class SideChanges:
    """What to change on one side."""

    write: Entries
    remove: frozenset[bytes]

    def __bool__(self) -> bool:
        return bool(self.write or self.remove)


@dataclass(frozen=True)
class SyncPlan:
    """What to change on both sides; conflicts are sorted by name."""

    host: SideChanges
    guest: SideChanges
    agreed: Mapping[bytes, TreeEntry | None]
    """What both sides have for these names after the changes."""
    conflicts: tuple[SyncConflict, ...]

    def next_base(self, base: Mapping[bytes, TreeEntry], failed: Set[bytes]) -> Entries:
        """Return the base after the changes; `failed` are the names that were not changed."""
        done = {name: entry for name, entry in self.agreed.items() if name not in failed}
        return {name: entry for name, entry in ({**base, **done}).items() if entry is not None}


def plan_sync(
    base: Mapping[bytes, TreeEntry],
    host: SideFiles,
    guest: SideFiles,
    *,
    prefer: Side | None = None,
    names: Collection[bytes] = (),
) -> SyncPlan:
    """Return the plan. `prefer`: this side's files replace those of conflicts.

    `names`: only of these names, and of what is below them.
    """
    planner = _Planner(base, host, guest)
    for name in sorted(base.keys() | host.entries.keys() | guest.entries.keys()):
        planner.decide(name)
    planner.hold_renames()
    planner.hold_case_twins()
    if prefer is not None:
        planner.prefer(prefer, names)
    for side in (host, guest):
        planner.clear_ways(side)
    return planner.plan()


class _Planner:
    def __init__(self, base: Mapping[bytes, TreeEntry], host: SideFiles, guest: SideFiles) -> None:
        self._base = base
        self._host = host
        self._guest = guest
        self._agreed: dict[bytes, TreeEntry | None] = {}
        self._conflicts: dict[bytes, SyncConflict] = {}

    def decide(self, name: bytes) -> None:
        """Agree on a name, or note a conflict."""
        base = self._base.get(name)
        host, guest = self._host.entries.get(name), self._guest.entries.get(name)
        if name in self._host.other or name in self._guest.other:
            self._refuse(name, ConflictKind.TYPE)
        elif name in self._host.private:
            if guest not in (None, host):
                self._refuse(name, ConflictKind.UNTRACKED)
        elif guest in (host, base):
            self._agreed[name] = host
        elif host == base:
            self._agreed[name] = guest
        else:
            self._refuse(name, _kind(base, host, guest))

    def hold_renames(self) -> None:
        """Turn renames on one side of what the other side changed, or renamed, into conflicts."""
        on_host = self._find_renames(self._host, self._guest)
        in_guest = self._find_renames(self._guest, self._host)
        for name in on_host.keys() & in_guest.keys():
            self._agreed.pop(name, None)
            self._refuse(on_host[name], ConflictKind.RENAMED, in_guest[name])
            self._refuse(in_guest[name], ConflictKind.RENAMED, on_host[name])
        sides = (
            (ConflictKind.DELETED_ON_HOST, on_host),
            (ConflictKind.DELETED_IN_GUEST, in_guest),
        )
        for kind, renames in sides:
            for name, new in renames.items():
                if name in self._conflicts and self._conflicts[name].kind is kind:
                    self._refuse(name, ConflictKind.RENAMED, new)
                    self._refuse(new, ConflictKind.RENAMED, name)

    def _find_renames(self, side: SideFiles, other: SideFiles) -> dict[bytes, bytes]:
        """Return the files that have another name on one side only, with that name."""
        gone = _by_entry((n, e) for n, e in self._base.items() if n not in side.entries)
        new = _by_entry(
            (name, entry)
            for name, entry in side.entries.items()
            if name in self._agreed and name not in self._base and name not in other.entries
        )
        return {
            names[0]: new[entry][0]
            for entry, names in gone.items()
            if len(names) == 1 and len(new.get(entry, ())) == 1
        }

    def hold_case_twins(self) -> None:
        """Turn names that differ in case only from a name of the other side into conflicts."""
        for side, other in ((self._host, self._guest), (self._guest, self._host)):
            added = [n for n in self._agreed if n in side.entries and self._is_added(n, other)]
            if not added:
                continue
            there = {_fold(name): name for name in other.entries if name not in side.entries}
            for name in added:
                twin = there.get(_fold(name))
                if twin is not None and self._stays(twin):
                    self._refuse(name, ConflictKind.CASE, twin)

    def _is_added(self, name: bytes, other: SideFiles) -> bool:
        return name not in self._base and name not in other.entries

    def _stays(self, name: bytes) -> bool:
        return self._agreed.get(name) is not None or name in self._conflicts

    def prefer(self, side: Side, names: Collection[bytes]) -> None:
        """Agree on what this side has where files conflict."""
        mine = self._host if side is Side.HOST else self._guest
        for name, conflict in list(self._conflicts.items()):
            if names and {name, *parents(name)}.isdisjoint(names):
                continue
            if conflict.kind not in _PREFERABLE or name in self._host.other | self._guest.other:
                continue
            if name in self._host.private and side is Side.HOST:
                continue
            entry = mine.entries.get(name)
            if conflict.kind is ConflictKind.RENAMED and name not in self._base:
                entry = self._host.entries.get(name) or self._guest.entries.get(name)
            self._agreed[name] = entry
            del self._conflicts[name]

    def clear_ways(self, side: SideFiles) -> None:
        """Turn writes into conflicts whose names, or the directories above them, are taken."""
        changes = self._changes(side)
        staying = (side.entries.keys() | side.other) - changes.remove
        directories = {above for name in staying for above in parents(name)}
        for name in changes.write:
            if name in directories or side.below.get(name, frozenset()) - changes.remove:
                self._refuse(name, ConflictKind.DIRECTORY_IN_THE_WAY)
            elif not staying.isdisjoint(parents(name)):
                self._refuse(name, ConflictKind.FILE_IN_THE_WAY)

    def _changes(self, side: SideFiles) -> SideChanges:
        new = {n: e for n, e in self._agreed.items() if e != side.entries.get(n)}
        return SideChanges(
            {name: entry for name, entry in new.items() if entry is not None},
            frozenset(name for name, entry in new.items() if entry is None),
        )

    def plan(self) -> SyncPlan:
        conflicts = (self._conflicts[name] for name in sorted(self._conflicts))
        return SyncPlan(
            self._changes(self._host), self._changes(self._guest), self._agreed, tuple(conflicts)
        )

    def _refuse(self, name: bytes, kind: ConflictKind, other: bytes | None = None) -> None:
        self._agreed.pop(name, None)
        self._conflicts[name] = SyncConflict(name, kind, other)


def _kind(base: TreeEntry | None, host: TreeEntry | None, guest: TreeEntry | None) -> ConflictKind:
    if guest is None:
        return ConflictKind.DELETED_IN_GUEST
    if host is None:
        return ConflictKind.DELETED_ON_HOST
    if host.mode != guest.mode:
        if not {host.mode, guest.mode} <= REGULAR:
            return ConflictKind.TYPE
        contents = {host.blob, guest.blob}
        if len(contents) == 1 or (base is not None and base.blob in contents):
            return ConflictKind.MODE
    return ConflictKind.BOTH_ADDED if base is None else ConflictKind.BOTH_CHANGED


def _by_entry(files: Iterable[tuple[bytes, TreeEntry]]) -> dict[TreeEntry, list[bytes]]:
    found: dict[TreeEntry, list[bytes]] = {}
    for name, entry in files:
        found.setdefault(entry, []).append(name)
    return found


def _fold(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape").casefold()
