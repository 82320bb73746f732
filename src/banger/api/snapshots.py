"""Parameters of `snapshot.*`."""

from __future__ import annotations

from banger.api.requests import Params


class SnapshotCreate(Params, frozen=True):
    ref: str
    name: str | None = None
    """Same rules as for VM names; default: `snapshot-N` with the lowest free N from 1."""


class SnapshotList(Params, frozen=True):
    ref: str
    forks: bool = False
    """Include the unnamed snapshots of forks, which are deleted with the last fork."""


class SnapshotRef(Params, frozen=True):
    ref: str
    name: str
    """Name or ID of the snapshot."""


class SnapshotRestore(Params, frozen=True):
    ref: str
    name: str
    """Name or ID of the snapshot."""
    force: bool = False
    """Skip the check of the host's memory."""
