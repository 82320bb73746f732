"""Everything that changed in a guest's workspace, as one patch.

The patch is from the tree as it was put in (`base.py`) to the tree that is there now
(`guesttree.py`), whatever the guest committed, staged or left lying about (hazard A3), and
whatever its git is set to. Both trees and the patch are made by the host's own git, in a
private git directory and from names that were checked (hazard E1); the guest only says which
files there are and sends bytes. Nothing is written in it (A4).

`since_commit` compares with the prepared commit instead; then contents are converted
as the host's git would on `git add` (`converting.py`).

The caller holds the workspace lock. Nothing is written on the host but in `scratch`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from banger.errors import DeadlineExceeded, InternalError, RepositoryRefused
from banger.guest import GuestFiles
from banger.model.vm import WorkspaceRecord
from banger.workspace.base import Base, base_dir
from banger.workspace.converting import stage_onto
from banger.workspace.facts import Settings
from banger.workspace.fitting import fit_to_host
from banger.workspace.git import GIT_DEADLINE_S, shadow_git, shadow_output
from banger.workspace.guesttree import GuestTree, load_base_of, read_guest_tree
from banger.workspace.locate import Places, locate_places
from banger.workspace.plain import plain_places
from banger.workspace.shadow import make_shadow, private_dir
from banger.workspace.trees import write_tree

_OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_DIFF = (
    *("-c", "core.quotePath=true", "-c", "diff.suppressBlankEmpty=false"),
    *("diff-tree", "-r", "--patch", "--binary", "--full-index", "--no-color", "--no-ext-diff"),
    *("--no-textconv", "--find-renames=100%", "--unified=3", "--inter-hunk-context=0"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--ignore-submodules=none"),
)


@dataclass(frozen=True)
class Comparison:
    """A private git directory that has the base's objects, and the base."""

    places: Places
    git_dir: Path
    base: Base


async def export_patch(
    guest: GuestFiles,
    record: WorkspaceRecord,
    *,
    deadline_s: float,
    bases: Path,
    since_commit: bool = False,
    notify: Callable[[str], None] | None = None,
    scratch: Path | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the patch of everything that changed since the prepare; nothing if nothing did.

    `bases` is where the import put the base. `since_commit`: since the prepared commit.
    `notify` is called with a sentence for each kind of thing that cannot come back, before the
    first byte.

    Raises:
        WorkspaceNotFound: it is gone from the guest.
        RepositoryRefused: the prepared commit, or the base of a plain directory, is gone.
        ExportTooLarge: there is more than a patch may hold.
        GuestGone, GuestRefused: the guest could not tell.
        DeadlineExceeded: it took longer than `deadline_s`.
    """
    async with open_comparison(record, bases=bases, scratch=scratch) as compared:
        tree = await find_changes(guest, record, compared, deadline_s=deadline_s)
        for notice in tree.notices:
            (notify or _silent)(notice)
        if since_commit:
            old = f"{record.commit}^{{tree}}"
            new = await stage_onto(compared.git_dir, record.commit, record.commit, tree)
        elif tree.is_untouched:
            return
        else:
            old, new = await _write_both(compared.git_dir, record.commit, tree)
        async with contextlib.aclosing(diff_trees(compared.git_dir, *_DIFF, old, new)) as chunks:
            async for chunk in chunks:
                yield chunk


def diff_trees(git_dir: Path, *argv: str) -> AsyncGenerator[bytes, None]:
    """Run git's diff of two trees; no attributes of the guest's or of the host's files count."""
    (git_dir / "index").unlink(missing_ok=True)
    nothing = git_dir.parent / "nothing"
    nothing.mkdir()
    return shadow_output(git_dir, nothing, *argv, deadline_s=GIT_DEADLINE_S)


async def _write_both(git_dir: Path, commit: str, tree: GuestTree) -> tuple[str, str]:
    """Return the tree as it was put in, and the guest's, as a patch between them has to be."""
    base = tree.base.tree
    fitted_old, fitted_new = await fit_to_host(git_dir, commit, tree)
    changed = (tree.changed | fitted_new).items()
    new = await write_tree(git_dir, base, removed=tree.removed, changed=changed)
    if fitted_old:
        base = await write_tree(git_dir, base, changed=fitted_old.items())
    return base, new


@contextlib.asynccontextmanager
async def open_comparison(
    record: WorkspaceRecord, *, bases: Path, scratch: Path | None
) -> AsyncIterator[Comparison]:
    """A private git directory for one export, removed on leaving.

    Raises:
        NotARepository, RepositoryRefused: the repository or the commit is gone.
    """
    require_object_id(record.commit)
    places = await _find_places(record)
    own = None if record.base is None else base_dir(bases, record.base) / "objects"
    more = [own] if own is not None and own.is_dir() else []
    with private_dir(scratch) as directory:
        git_dir = make_shadow(
            directory, places, commit=record.commit, settings=Settings(), more=more
        )
        tree = f"{record.commit}^{{tree}}"
        found = await shadow_git(git_dir, git_dir, "cat-file", "-e", tree, ok=(0, 1, 128))
        if found.status and not record.is_plain:
            raise commit_gone(record)
        base = await load_base_of(record, bases, git_dir)
        make_shadow(directory, places, commit=record.commit, settings=base.settings, more=more)
        yield Comparison(places, git_dir, base)


async def _find_places(record: WorkspaceRecord) -> Places:
    if record.is_plain:
        return plain_places(Path(record.host_path))
    return await asyncio.to_thread(locate_places, record.host_path)


async def find_changes(
    guest: GuestFiles, record: WorkspaceRecord, compared: Comparison, *, deadline_s: float
) -> GuestTree:
    """Return what differs from the base.

    Raises:
        DeadlineExceeded: it took longer than `deadline_s`.
        others: as `read_guest_tree`.
    """
    try:
        async with asyncio.timeout(deadline_s):
            return await read_guest_tree(
                guest,
                record,
                compared.base,
                compared.git_dir,
                places=compared.places,
                deadline_s=deadline_s,
            )
    except TimeoutError as error:
        raise DeadlineExceeded(f"The export did not finish within {deadline_s:g} s.") from error


def require_object_id(text: str) -> None:
    """Check the shape of an object's name.

    Raises:
        InternalError: it has another one; records hold only what git said.
    """
    if not _OBJECT_ID.fullmatch(text):
        raise InternalError(f"{text!r} is not a git object name.")


def commit_gone(record: WorkspaceRecord) -> RepositoryRefused:
    return RepositoryRefused(
        f"The prepared commit {record.commit[:12]} is no longer in {record.host_path}.",
        hint=f"git -C {record.host_path} fsck --lost-found",
    )


def _silent(notice: str) -> None:
    """Take notices from those who did not ask for them."""
