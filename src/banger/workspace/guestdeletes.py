"""Delete files of a workspace in a guest, with the shell that an import needs anyway.

Deleting again what is gone already is no error. The names are arguments only (hazard G2).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence

from banger.errors import GuestRefused
from banger.guest import GuestFiles
from banger.workspace.names import parents

STEP_DEADLINE_S = 60.0
_ARGUMENT_BYTES = 64 * 1024
_DELETE = 'cd "$1" && shift && rm -f -- "$@"'
_DELETE_EMPTY = 'cd "$1" && shift && rmdir -- "$@" 2>/dev/null; true'
"""One process, which goes on after a directory that is not empty."""


async def delete_guest_files(
    guest: GuestFiles, path: str, names: Collection[bytes], *, empty: Collection[bytes] = ()
) -> None:
    """Delete files below `path`, then the directories above them and `empty` if they are empty.

    Raises:
        GuestRefused: the guest cannot delete a file.
    """
    for batch in _batches(sorted(names)):
        await _run(guest, _DELETE, path, batch)
    directories = {above for name in (*names, *empty) for above in parents(name)}.union(empty)
    for batch in _batches(sorted(directories, reverse=True)):
        await _run(guest, _DELETE_EMPTY, path, batch)


async def _run(guest: GuestFiles, script: str, path: str, names: Sequence[bytes]) -> None:
    words = [os.fsdecode(name) for name in names]
    argv = ["sh", "-c", script, "banger", path, *words]
    done = await guest.run(argv, deadline_s=STEP_DEADLINE_S)
    if done.status:
        said = done.untrusted_stderr[-2000:].decode("utf-8", "replace")
        raise GuestRefused(f"Files in {path} of the guest cannot be deleted.", details=said)


def _batches(names: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Yield the names in lists that fit an argument list."""
    batch: list[bytes] = []
    size = 0
    for name in names:
        batch.append(name)
        size += len(name) + 1
        if size >= _ARGUMENT_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
