"""Snapshots on disk: one VM's memory, devices' state and data disk at one moment.

Owns `snapshots/ID/`: the files of `saved` and a manifest. One that has a name belongs to its VM
and goes with it, or when its user says so; one without is there for the forks that run on it.
Which are needed the engine knows (`engine.snapshots`), and removes the others. Takes no locks:
the engine holds the VM's lifecycle lock when one is made.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from msgspec import Struct

from banger.host.files import ensure_private_dir, list_own, publish_dir, space_errors, write_atomic
from banger.layout import Layout
from banger.model.names import VmId
from banger.model.vm import Shape
from banger.templates.saved import MANIFEST, SavedFiles, seal_files

SNAPSHOT_ID = re.compile(r"[0-9a-f]{16}")


class Snapshot(Struct, frozen=True, kw_only=True):
    """A snapshot as its manifest describes it."""

    id: str
    vm_id: VmId
    name: str | None
    machine: str
    """The key that a template of the VM would have had: it fits no other machine (D5)."""
    created_at: float
    saved: SavedFiles
    shape: Shape | None = None
    """The machine's; None: a banger that did not write it down, when it could not change."""


def publish_snapshot(layout: Layout, staged: Path, snapshot: Snapshot) -> None:
    """Make a snapshot of `staged`, which has its files; one with a name is made durable."""
    with space_errors(staged):
        is_durable = snapshot.name is not None
        saved = seal_files(staged, is_durable=is_durable)
        complete = msgspec.json.encode(msgspec.structs.replace(snapshot, saved=saved))
        target = layout.snapshot_dir(snapshot.id)
        if is_durable:
            write_atomic(staged / MANIFEST, complete)
            publish_dir(staged, target)
        else:
            # A power cut ends every VM that could need it. To flush even this file alone would
            # take as long as the memory beside it takes to be written.
            (staged / MANIFEST).write_bytes(complete)
            ensure_private_dir(target.parent)
            staged.rename(target)


def list_snapshots(layout: Layout) -> list[Snapshot]:
    """Return every snapshot whose manifest can be read, oldest first."""
    folders = list_own(layout.snapshots, SNAPSHOT_ID)
    found = [snapshot for folder in folders if (snapshot := _read(folder))]
    return sorted(found, key=lambda snapshot: (snapshot.created_at, snapshot.id))


def list_ids(layout: Layout) -> list[str]:
    """Return the id of every snapshot, damaged ones, too."""
    return [path.name for path in list_own(layout.snapshots, SNAPSHOT_ID)]


def forget_name(layout: Layout, snapshot: Snapshot) -> None:
    """Take its name from a snapshot: it goes when no VM runs on it any more."""
    changed = msgspec.structs.replace(snapshot, name=None)
    write_atomic(layout.snapshot_dir(snapshot.id) / MANIFEST, msgspec.json.encode(changed))


def _read(folder: Path) -> Snapshot | None:
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Snapshot)
    except (OSError, msgspec.DecodeError):
        return None
