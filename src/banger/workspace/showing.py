"""A guest's changes for people to read: a patch, numbers, or words.

Unlike an export, this is not for `git apply`: a file has the guest's own bytes, and renames with
changes are shown as renames. The trees are those of an export (`exporting.py`). Git converts
nothing and quotes odd names; contents are the guest's, so what a terminal gets has to be made
harmless (hazard E3).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from banger.guest import GuestFiles
from banger.model.diffs import DiffStyle
from banger.model.vm import WorkspaceRecord
from banger.workspace.converting import stage_onto
from banger.workspace.exporting import diff_trees, find_changes, open_comparison
from banger.workspace.trees import write_tree


async def show_changes(
    guest: GuestFiles,
    record: WorkspaceRecord,
    *,
    style: DiffStyle,
    width: int,
    deadline_s: float,
    bases: Path,
    notify: Callable[[str], None],
    since_commit: bool = False,
    scratch: Path | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the changes since the prepare as text; nothing if there are none.

    `width`: columns of the statistics.

    Raises: as `exporting.export_patch`.
    """
    async with open_comparison(record, bases=bases, scratch=scratch) as compared:
        git_dir = compared.git_dir
        tree = await find_changes(guest, record, compared, deadline_s=deadline_s)
        for notice in tree.notices:
            notify(notice)
        if since_commit:
            old = f"{record.commit}^{{tree}}"
            new = await stage_onto(git_dir, record.commit, record.commit, tree)
        else:
            old = tree.base.tree
            new = await write_tree(git_dir, old, removed=tree.removed, changed=tree.changed.items())
        text = diff_trees(git_dir, *render_argv(style, width), old, new)
        async with contextlib.aclosing(text) as chunks:
            async for chunk in chunks:
                yield chunk


def render_argv(style: DiffStyle, width: int) -> tuple[str, ...]:
    """Return git's arguments. Pure."""
    how = {
        DiffStyle.PATCH: ("--patch", "--unified=3"),
        DiffStyle.STAT: (f"--stat={width}", "--summary"),
        DiffStyle.WORD: ("--patch", "--word-diff=plain"),
    }
    return (
        *("-c", "core.quotePath=true", "diff-tree", "-r", "--no-color", "--no-ext-diff"),
        *("--no-textconv", "--find-renames", "--src-prefix=a/", "--dst-prefix=b/"),
        *("--submodule=short", "--ignore-submodules=none", *how[style]),
    )
