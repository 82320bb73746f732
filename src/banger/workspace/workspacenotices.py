"""Notices about the parts of a guest's work tree that cannot be exported. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from banger.workspace.base import Base
from banger.workspace.walking import Findings

_SHOWN = 3


_UNKNOWN_BASE = (
    "The host no longer has the base of this workspace: everything since the prepared "
    "commit was exported."
)


def sum_up(
    base: Base,
    found: Findings,
    *,
    moved_submodules: Sequence[bytes],
    busy_submodules: Sequence[bytes],
    stash: bool,
) -> tuple[str, ...]:
    """Return one sentence for each kind of file that an export leaves out."""
    counted = [
        (found.nested, "Repositories made in the guest, exported without their history"),
        (moved_submodules, "Submodules at other commits, which were not exported themselves"),
        (busy_submodules, "Submodules with changes of their own, not exported"),
        (found.empty, "Empty directories, which git cannot store"),
        (found.special, "Pipes, sockets and devices, which git cannot store"),
        (found.excluded, "Excluded paths, not exported"),
        (found.unsafe, "Names that are not allowed in a patch, left out"),
    ]
    notices = [_sentence(what, names) for names, what in counted if names]
    if base.is_commit:
        notices.insert(0, _UNKNOWN_BASE)
    if stash:
        notices.append("The guest has a stash, which was not exported.")
    return tuple(notices)


def _sentence(what: str, names: Sequence[bytes]) -> str:
    shown = ", ".join(_shown(name) for name in sorted(names)[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{what}: {shown}{more}."


def _shown(untrusted_name: bytes) -> str:
    """Return the name made safe for a terminal (hazard E3)."""
    text = (untrusted_name or b".").decode("utf-8", "backslashreplace")
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return plain if len(plain) <= 100 else f"{plain[:100]}..."
