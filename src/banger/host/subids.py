"""Subordinate ids: the ranges of ids in which an ordinary user's image builds are root.

`useradd` grants ranges to new users; users created otherwise may lack them. Reads
/etc/subuid and /etc/subgid (subuid(5)); plans the command that grants a range, but
runs nothing. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FILES = (Path("/etc/subuid"), Path("/etc/subgid"))
COUNT = 65536
"""Number of ids that an image may use, which mmdebstrap also requires."""
LOWEST = 100_000


def find_lacking(user: str, uid: int, *, files: Iterable[Path] = FILES) -> list[Path]:
    """Return the files that grant the user no range of `COUNT` ids."""
    return [path for path in files if _largest(_load(path), user, uid) < COUNT]


def plan_grant(
    user: str, *, as_root: bool, files: Iterable[Path] = FILES
) -> tuple[tuple[str, ...], ...]:
    """Return the command that grants the user a range that no user has yet."""
    ends = [first + count for path in files for _, first, count in _load(path)]
    first = max([LOWEST, *ends])
    ids = f"{first}-{first + COUNT - 1}"
    sudo = () if as_root else ("sudo",)
    return ((*sudo, "usermod", "--add-subuids", ids, "--add-subgids", ids, user),)


def _largest(ranges: list[tuple[str, int, int]], user: str, uid: int) -> int:
    owners = (user, str(uid))
    return max((count for owner, _, count in ranges if owner in owners), default=0)


def _load(path: Path) -> list[tuple[str, int, int]]:
    """Return (owner, first, count) of each valid line; none for a missing file."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    fields = [line.split(":") for line in lines]
    return [
        (f[0], int(f[1]), int(f[2]))
        for f in fields
        if len(f) == 3 and f[1].isdecimal() and f[2].isdecimal()
    ]
