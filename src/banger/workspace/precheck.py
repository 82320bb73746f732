"""Check before a command runs whether its result can be exported as a branch afterwards.

Reads the repository only. The answer may change while the command runs, so the export checks
again; this check spares the user an hour's wait for a certain refusal.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from banger.errors import BranchConflict, RepositoryRefused
from banger.host.files import no_space
from banger.workspace.git import host_git
from banger.workspace.inspect import require_branch_name
from banger.workspace.locate import Places, locate_places
from banger.workspace.names import parents

ROOM_BYTES = 16 * 1024 * 1024
"""Less free space than this counts as full: git needs some for any pack."""


async def require_branch_possible(path: str | os.PathLike[str], branch: str) -> None:
    """Check that a branch can be added to the repository that contains `path`.

    Does not check whether a branch of exactly this name exists.

    Raises:
        NotARepository: see `locate_repository`.
        InvalidRequest: git does not allow the name.
        BranchConflict: another branch has the name of a parent directory of this branch.
        RepositoryRefused: the git directory cannot be written.
        NoSpace: its file system is full.
    """
    places = await asyncio.to_thread(locate_places, path)
    await require_branch_name(places, branch)
    await _require_no_branch_above(places, branch)
    await asyncio.to_thread(_require_writable, places)


async def _require_no_branch_above(places: Places, branch: str) -> None:
    for above in parents(os.fsencode(branch)):
        name = os.fsdecode(above)
        ref = f"refs/heads/{name}"
        found = await host_git(places.top, "show-ref", "--verify", "--quiet", ref, ok=(0, 1))
        if found.status == 0:
            raise BranchConflict(
                f"The branch {name} in {places.top} conflicts with the name {branch}.",
                hint=f"git -C {places.top} branch -m {name} NEW-NAME",
            )


def _require_writable(places: Places) -> None:
    common = places.objects.parent
    for directory in (places.objects, common / "refs", common / "refs/heads"):
        if directory.is_dir() and not os.access(directory, os.W_OK | os.X_OK):
            raise RepositoryRefused(
                f"{directory} is not writable, so the result could not be saved as a branch.",
                hint=f"ls -ld {directory}",
            )
    _require_room(places.objects)


def _require_room(directory: Path) -> None:
    status = os.statvfs(directory)
    if status.f_bavail * status.f_frsize < ROOM_BYTES:
        raise no_space(os.fspath(directory))
