"""Plan how a guest's changes get into the host's files. Pure.

For each name there are three sides: the base (as it was put in), the guest's, and the host's now.
What only the guest changed is taken; what both changed in the same way is there already; what both
changed differently is merged line by line if all three are regular files, and is else a conflict. A
plan never overwrites or removes what the host has and the base had not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from banger.workspace.base import Seen
from banger.workspace.names import parents
from banger.workspace.trees import (
    MODE_GITLINK,
    REGULAR,
    Entries,
    TreeEntry,
)


class Reason(StrEnum):
    """Why a change cannot be applied."""

    BOTH_CHANGED = "changed on both sides"
    BOTH_ADDED = "added on both sides"
    DELETED_HERE = "changed in the guest, deleted on the host"
    DELETED_THERE = "deleted in the guest, changed on the host"
    TYPE = "another type of file on each side"
    FILE_IN_THE_WAY = "a file or link of the host is where the guest has a directory"
    DIRECTORY_IN_THE_WAY = "a directory of the host is where the guest has a file"


@dataclass(frozen=True)
class Conflict:
    """A change of the guest that needs a person."""

    name: bytes
    reason: Reason


@dataclass(frozen=True)
class HostFiles:
    """The host's side: the names that a guest changed, and what is around them."""

    entries: Mapping[bytes, TreeEntry]
    """Files and links, by name."""
    other: frozenset[bytes] = frozenset()
    """Names of something else: pipes, sockets, devices."""
    below: Mapping[bytes, frozenset[bytes]] = field(default_factory=dict)
    """Names that are directories on the host, each with the names of everything below it."""
    seen: Mapping[bytes, Seen] = field(default_factory=dict)
    """The stat(2) of each of `entries`, from before it was read."""


@dataclass(frozen=True)
class Merge:
    """A file that both sides changed: to be merged line by line."""

    name: bytes
    base: TreeEntry
    host: TreeEntry
    guest: TreeEntry

    @property
    def mode(self) -> int:
        """The mode of the result: the guest's if it changed the mode, else the host's."""
        return self.guest.mode if self.guest.mode != self.base.mode else self.host.mode


@dataclass(frozen=True)
class ApplyPlan:
    """What to do on the host; names are sorted."""

    write: Entries
    remove: tuple[bytes, ...]
    merge: tuple[Merge, ...]
    there: tuple[bytes, ...]
    """Names that the host has as the guest has them."""
    conflicts: tuple[Conflict, ...]
    submodules: tuple[bytes, ...]
    """Submodules at other commits, which are not applied."""


def plan_apply(
    base: Mapping[bytes, TreeEntry],
    changed: Mapping[bytes, TreeEntry],
    removed: Iterable[bytes],
    host: HostFiles,
) -> ApplyPlan:
    """Return the plan. `changed` and `removed` are the guest's differences from `base`."""
    wanted: dict[bytes, TreeEntry | None] = dict(changed) | dict.fromkeys(removed)
    links = {name for name in wanted if _is_gitlink(base.get(name), wanted[name])}
    planner = _Planner(base, host)
    for name in sorted(wanted.keys() - links):
        planner.decide(name, wanted[name])
    planner.clear_ways()
    return ApplyPlan(
        dict(sorted(planner.write.items())),
        tuple(sorted(planner.remove)),
        tuple(planner.merge),
        tuple(planner.there),
        tuple(sorted(planner.conflicts, key=lambda each: each.name)),
        tuple(sorted(links)),
    )


def _is_gitlink(*sides: TreeEntry | None) -> bool:
    return any(side is not None and side.mode == MODE_GITLINK for side in sides)


class _Planner:
    def __init__(self, base: Mapping[bytes, TreeEntry], host: HostFiles) -> None:
        self._base = base
        self._host = host
        self.write: Entries = {}
        self.remove: set[bytes] = set()
        self.merge: list[Merge] = []
        self.there: list[bytes] = []
        self.conflicts: list[Conflict] = []

    def decide(self, name: bytes, guest: TreeEntry | None) -> None:
        """Put a name that the guest changed into one of the lists."""
        base, host = self._base.get(name), self._host.entries.get(name)
        if name in self._host.other:
            self._refuse(name, Reason.TYPE)
        elif host == guest and name not in self._host.below:
            self.there.append(name)
        elif name in self._host.below and guest is None:
            self.there.append(name)  # No such file: the host has a directory of that name.
        elif host == base or (host is None and base is None):
            self._take(name, guest)
        else:
            self._both(name, base, host, guest)

    def _take(self, name: bytes, guest: TreeEntry | None) -> None:
        if guest is None:
            self.remove.add(name)
        else:
            self.write[name] = guest

    def _both(
        self,
        name: bytes,
        base: TreeEntry | None,
        host: TreeEntry | None,
        guest: TreeEntry | None,
    ) -> None:
        if guest is None:
            self._refuse(name, Reason.DELETED_THERE)
        elif host is None:
            self._refuse(name, Reason.DELETED_HERE)
        elif base is None:
            self._refuse(name, Reason.BOTH_ADDED)
        elif {base.mode, host.mode, guest.mode} <= REGULAR:
            self.merge.append(Merge(name, base, host, guest))
        else:
            same_type = host.mode == guest.mode
            self._refuse(name, Reason.BOTH_CHANGED if same_type else Reason.TYPE)

    def clear_ways(self) -> None:
        """Turn writes into conflicts whose names, or the directories above them, are taken."""
        # A write that becomes a conflict frees nothing, and no removal becomes one: one pass does.
        for name in sorted(self.write):
            below = self._host.below.get(name)
            if below is not None and not below <= self.remove:
                self._refuse(name, Reason.DIRECTORY_IN_THE_WAY)
            elif any(self._is_in_the_way(above) for above in parents(name)):
                self._refuse(name, Reason.FILE_IN_THE_WAY)
        for conflict in self.conflicts:
            self.write.pop(conflict.name, None)

    def _is_in_the_way(self, above: bytes) -> bool:
        is_file = above in self._host.entries or above in self._host.other
        return is_file and above not in self.remove

    def _refuse(self, name: bytes, reason: Reason) -> None:
        self.conflicts.append(Conflict(name, reason))
