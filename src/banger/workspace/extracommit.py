"""An extra commit on top of the guest's, with the guest's uncommitted changes.

The host's git makes the commit in quarantine, from the guest's files. By its author, banger, a
repeated export recognises the previous export's extra commit and may replace it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from banger.model.vm import WorkspaceRecord
from banger.workspace.converting import stage_onto
from banger.workspace.exporting import Comparison
from banger.workspace.git import shadow_git
from banger.workspace.guesttree import GuestTree
from banger.workspace.locate import Places

_MESSAGE = "Not committed in the guest"
_IDENTITY = ("-c", "user.name=banger", "-c", "user.email=banger@localhost")


@dataclass(frozen=True)
class ExtraCommit:
    """The commit, if there is one, and notices about changes that it could not include."""

    commit: str | None
    is_change: bool
    """Whether the guest has uncommitted changes since the prepare."""
    notices: tuple[str, ...]

    async def pack(self, compared: Comparison, record: WorkspaceRecord) -> Path:
        """Pack all commits since the prepared one; return the pack's path."""
        assert self.commit is not None
        made = await shadow_git(
            compared.git_dir,
            compared.places.top,
            *("pack-objects", "--quiet", "--revs", "--delta-base-offset", str(_prefix(compared))),
            stdin=f"{self.commit}\n^{record.commit}\n".encode(),
        )
        return compared.git_dir.parent / f"checked-{made.text.strip()}.pack"


def _prefix(compared: Comparison) -> Path:
    return compared.git_dir.parent / "checked"


EMPTY = ExtraCommit(None, is_change=False, notices=())


async def make_extra_commit(
    compared: Comparison,
    record: WorkspaceRecord,
    head: str,
    tree: GuestTree,
    *,
    before: str | None,
) -> ExtraCommit:
    """Make the commit on top of `head`, unless it would change nothing.

    `before` is the branch's current commit, which is reused if equal.
    """
    git_dir, places = compared.git_dir, compared.places
    made = await stage_onto(git_dir, head, record.commit, tree)
    is_change = not tree.is_untouched
    if made == await _resolve(git_dir, places, f"{head}^{{tree}}"):
        return ExtraCommit(None, is_change, tree.notices)
    if before and await is_extra_commit(git_dir, places, before):
        same = [await _resolve(git_dir, places, f"{before}{what}") for what in ("^{tree}", "^")]
        if same == [made, head]:
            return ExtraCommit(before, is_change, tree.notices)
    done = await shadow_git(
        git_dir, places.top, *_IDENTITY, "commit-tree", made, "-p", head, "-m", _MESSAGE
    )
    return ExtraCommit(done.text.strip(), is_change, tree.notices)


async def is_extra_commit(git_dir: Path, places: Places, commit: str) -> bool:
    """Tell whether an export made this commit."""
    shown = await shadow_git(
        git_dir, places.top, "show", "--no-patch", "--format=%an %ae %cn %ce %B", commit
    )
    who = "banger banger@localhost"
    return shown.text.strip() == f"{who} {who} {_MESSAGE}"


async def _resolve(git_dir: Path, places: Places, what: str) -> str:
    return (await shadow_git(git_dir, places.top, "rev-parse", "--verify", what)).text.strip()
