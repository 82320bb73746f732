"""The host's index as the guest's git would have written it: with the guest's own stat data.

An entry gets the guest's stat data if the host's git regards the file as unchanged. Every other
entry keeps the host's, which matches no file of the guest, so the guest's git reads the file and
sees the change, even one that keeps size, modification time and bytes: a new attribute can make a
change of a file with CRLF. Pure.
"""

from __future__ import annotations

from banger.model.entries import GuestEntry
from banger.workspace.basemaking import PutIn
from banger.workspace.facts import RepositoryFacts
from banger.workspace.gitindex import IndexEntry, restat_index
from banger.workspace.tarstream import SentFile
from banger.workspace.trees import MODE_GITLINK

_LOW = 0xFFFFFFFF


def guest_index(facts: RepositoryFacts, index: bytes, put_in: PutIn) -> bytes:
    """Return the index for the guest."""
    changed = {change.name for change in facts.changes if change.unstaged != " "}

    def find(entry: IndexEntry) -> GuestEntry | None:
        sent = put_in.sent.get(entry.name)
        if sent is None or entry.stage or entry.mode == MODE_GITLINK or entry.name in changed:
            return None
        unchanged = _is_as_git_saw_it(entry, sent) or sent.blob == entry.blob
        return put_in.find(entry.name) if unchanged else None

    return restat_index(index, facts.places.object_format, find=find)


def _is_as_git_saw_it(entry: IndexEntry, sent: SentFile) -> bool:
    """Tell whether the sent file's stat data on the host matches the index."""
    seen = sent.seen
    numbers = (seen.ctime_ns // 10**9, seen.mtime_ns // 10**9, seen.inode, seen.size)
    return tuple(number & _LOW for number in numbers) == (
        entry.ctime_s,
        entry.mtime_s,
        entry.inode,
        entry.size,
    )
