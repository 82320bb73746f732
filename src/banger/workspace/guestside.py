"""The guest's side of a sync: change single files of the workspace, and know its base by a mark.

The guest's programs go on meanwhile, so every file is looked at immediately before, and what
has changed since it was compared stays. A file gets its name only when it is whole, through no
link. If this process dies, each file is as it was or done.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from banger.errors import GuestRefused
from banger.guest import GuestFiles
from banger.model.entries import GuestEntry
from banger.model.vm import WorkspaceRecord
from banger.tar.write import gathered
from banger.workspace.base import Base, Seen, seen_of
from banger.workspace.basemaking import PutIn
from banger.workspace.facts import FileKind, WorkFile
from banger.workspace.guestdeletes import STEP_DEADLINE_S, delete_guest_files
from banger.workspace.names import parents
from banger.workspace.sending import threaded, whole_tar
from banger.workspace.syncplan import SideChanges
from banger.workspace.tarstream import SentFile, work_tree_chunks
from banger.workspace.trees import MODE_SYMLINK, Entries
from banger.workspace.walking import read_small

NOT_OF_BASE = "The guest is not as the last copy or sync left it (it was restored from a snapshot?)"
_MARK = 'printf %s "$2" >"$1.new" && mv -f "$1.new" "$1" && sync'


async def change_guest(
    guest: GuestFiles,
    path: str,
    changes: SideChanges,
    known: Mapping[bytes, Seen],
    made: Path,
    *,
    deadline_s: float,
) -> tuple[PutIn, frozenset[bytes]]:
    """Remove and write files; the new ones lie in `made`.

    `known` has the stat(2) of each file that is there. Returns what was written, and the names
    that were left alone.

    Raises:
        GuestRefused: the guest cannot write or delete a file; others may have been.
    """
    there = await _look(guest, path, changes.remove, deadline_s=deadline_s)
    gone = {name for name in changes.remove if _is_as_known(there, name, known)}
    await delete_guest_files(guest, path, gone)
    there = await _look(guest, path, changes.write, deadline_s=deadline_s)
    write = {n: e for n, e in changes.write.items() if _is_as_known(there, n, known)}
    sent = await _send(guest, path, write, made, deadline_s=deadline_s)
    entries = await _look(guest, path, write, deadline_s=deadline_s)
    left = (changes.remove | changes.write.keys()) - gone - write.keys()
    return PutIn(sent, entries), left


async def is_of_base(guest: GuestFiles, record: WorkspaceRecord, base: Base) -> bool:
    """Tell whether the guest has the marks of this base; otherwise old files would be changes."""
    if not base.is_marked:
        return True
    above, name = posixpath.split(mark_path(record.guest_path))
    found = await read_small(guest, above, [os.fsencode(name)], deadline_s=STEP_DEADLINE_S)
    return (record.base or "").encode() in b"".join(found.values()).split()


async def write_marks(
    guest: GuestFiles, path: str, base_ids: Iterable[str], *, deadline_s: float
) -> None:
    """Write the ids of a sync's base and of the one before beside the workspace, and flush.

    If this process dies before the new base is published, the guest has still the old one's id.
    A guest that goes back to a snapshot has others. What was copied has to be on its disk
    before the base says so: otherwise a guest that is killed would seem to have emptied files.

    Raises:
        GuestRefused: the guest cannot.
    """
    argv = ["sh", "-c", _MARK, "banger", mark_path(path), " ".join(base_ids)]
    done = await guest.run(argv, deadline_s=deadline_s)
    if done.status:
        said = done.untrusted_stderr[-2000:].decode("utf-8", "replace")
        raise GuestRefused(f"The guest cannot write beside {path}.", details=said)


def mark_path(path: str) -> str:
    """Return where the ids of a workspace's base are in the guest."""
    above, name = posixpath.split(path)
    return posixpath.join(above, f".{name}.banger-synced")


async def _look(
    guest: GuestFiles, path: str, names: Iterable[bytes], *, deadline_s: float
) -> dict[bytes, GuestEntry]:
    """Return the entries of the directories above these names."""
    directories = {above for name in names for above in parents(name)}
    if not names:
        return {}
    asked = [b"", *sorted(directories)]
    return {e.name: e for e in await guest.list_directories(path, asked, deadline_s=deadline_s)}


def _is_as_known(
    there: Mapping[bytes, GuestEntry], name: bytes, known: Mapping[bytes, Seen]
) -> bool:
    if any(above in there and not stat.S_ISDIR(there[above].mode) for above in parents(name)):
        return False
    entry = there.get(name)
    return known.get(name) == (None if entry is None else seen_of(entry))


async def _send(
    guest: GuestFiles, path: str, files: Entries, made: Path, *, deadline_s: float
) -> dict[bytes, SentFile]:
    sent: dict[bytes, SentFile] = {}

    def add(file: SentFile) -> None:
        sent[file.name] = file

    if not files:
        return sent
    listed = [
        WorkFile(n, FileKind.SYMLINK if e.mode == MODE_SYMLINK else FileKind.FILE, 0)
        for n, e in sorted(files.items())
    ]
    tree = work_tree_chunks(made, listed, on_file=add, with_directories=False)
    async with contextlib.aclosing(threaded(whole_tar(gathered(tree)))) as chunks:
        await guest.tar_in(path, chunks, empty_first=False, deadline_s=deadline_s)
    return sent
