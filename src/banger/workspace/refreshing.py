"""Copy a workspace again whose host's files have changed, and keep what the guest made beside it.

Only over a workspace in which the guest has changed nothing since the prepare; then its tracked
files are those of the base, and what is left (build results, caches: names that git ignores) is
moved into the new workspace where that has nothing. If the process dies on the way, the workspace
is the old one, perhaps without files that the host has deleted, or the new one.

The caller holds the workspace lock.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from banger.errors import ChangesConflict
from banger.guest import GuestFiles
from banger.model.vm import WorkspaceRecord
from banger.workspace.base import load_base
from banger.workspace.exporting import find_changes, open_comparison
from banger.workspace.facts import ImportPlan, PreparedWorkspace, Progress
from banger.workspace.guestdeletes import delete_guest_files
from banger.workspace.importing import import_workspace
from banger.workspace.readonly import make_writable
from banger.workspace.staleness import find_stale
from banger.workspace.status import ask_position_if_any, read_host
from banger.workspace.trees import MODE_GITLINK

MANIFEST_BYTES_MAX = 4 * 1024 * 1024
"""Of a base that is looked through for a notice: about 30,000 files, a tenth of a second."""


def count_stale(record: WorkspaceRecord, *, bases: Path) -> int:
    """Return the number of copied files that have changed on the host; 0 if that costs too much.

    New files are not counted. Blocking.

    Raises:
        RepositoryRefused: the base or a directory cannot be read.
    """
    top = Path(record.host_path)
    if record.base is None or not top.is_dir():
        return 0
    return len(find_stale(load_base(bases, record.base, limit_bytes=MANIFEST_BYTES_MAX), top))


async def is_stale(record: WorkspaceRecord, *, bases: Path, scratch: Path | None) -> bool:
    """Tell whether a prepare would copy something else.

    Raises:
        NotARepository, RepositoryRefused: the host's files cannot be read.
    """
    if record.base is None:
        return True  # An older banger made it.
    host = await read_host(record, load_base(bases, record.base), scratch=scratch)
    return host.is_stale(record)


async def require_untouched(
    guest: GuestFiles,
    record: WorkspaceRecord,
    *,
    vm: str,
    deadline_s: float,
    bases: Path,
    scratch: Path | None,
) -> None:
    """Check that the guest has changed nothing since the prepare.

    Raises:
        ChangesConflict: it has.
    """
    async with open_comparison(record, bases=bases, scratch=scratch) as compared:
        tree = await find_changes(guest, record, compared, deadline_s=deadline_s)
    position = await ask_position_if_any(guest, record)
    if not tree.is_untouched or (position is not None and position.commit != record.commit):
        raise ChangesConflict(
            f"Both {record.host_path} and its copy in {vm} have changed.",
            hint=f"banger vm workspace sync {vm}",
        )


async def import_again(
    guest: GuestFiles,
    plan: ImportPlan,
    record: WorkspaceRecord,
    *,
    deadline_s: float,
    bases: Path,
    progress: Progress | None = None,
    scratch: Path | None = None,
) -> PreparedWorkspace:
    """Create the workspace of `plan` in place of the present one; keep what the guest ignores.

    Raises: as `import_workspace`.
    """
    if record.is_read_only:
        await make_writable(guest, record.guest_path)
    wanted = {file.name for file in plan.facts.files}
    base = None if record.base is None else load_base(bases, record.base)
    gone = sorted(file.name for file in base.files if file.name not in wanted) if base else []
    links = {file.name for file in base.files if file.mode == MODE_GITLINK} if base else set()
    files = [name for name in gone if name not in links]
    await delete_guest_files(guest, record.guest_path, files, empty=links.intersection(gone))
    return await import_workspace(
        guest,
        plan,
        deadline_s=deadline_s,
        bases=bases,
        progress=progress,
        scratch=scratch,
        keep_ignored=True,
        read_only=record.is_read_only,
    )


def renew_record(record: WorkspaceRecord, done: PreparedWorkspace) -> WorkspaceRecord:
    """Return the record of a workspace that was copied again. Pure."""
    return replace(record, commit=done.commit, branch=done.branch, base=done.base)
