"""Snapshots on disk: a VM's memory, device state and data disk at one moment.

Owns `snapshots/ID/`: the files of `saved` and a manifest. A named snapshot belongs to its VM and
is deleted with the VM or on request; an unnamed snapshot serves the forks that run from it. The
engine (`transitions.sweep`) removes snapshots that are no longer needed. Takes no locks: the engine
holds the VM's lifecycle lock while making a snapshot.
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
    """The key that a template of the VM would have; a snapshot fits no other machine (D5)."""
    created_at: float
    saved: SavedFiles
    shape: Shape | None = None
    """The VM's shape; None if an older banger, in which shapes were fixed, made the snapshot."""


def publish_snapshot(layout: Layout, staged: Path, snapshot: Snapshot) -> None:
    """Publish the directory `staged` as a snapshot; flush it to disk if it has a name."""
    with space_errors(staged):
        is_durable = snapshot.name is not None
        saved = seal_files(staged, is_durable=is_durable)
        complete = msgspec.json.encode(msgspec.structs.replace(snapshot, saved=saved))
        target = layout.snapshot_dir(snapshot.id)
        if is_durable:
            write_atomic(staged / MANIFEST, complete)
            publish_dir(staged, target)
        else:
            # A power cut ends every VM that could need this snapshot. Flushing even the manifest
            # alone would take as long as writing out the memory file beside it.
            (staged / MANIFEST).write_bytes(complete)
            ensure_private_dir(target.parent)
            staged.rename(target)


def list_snapshots(layout: Layout) -> list[Snapshot]:
    """Return every snapshot whose manifest can be read, oldest first."""
    folders = list_own(layout.snapshots, SNAPSHOT_ID)
    found = [snapshot for folder in folders if (snapshot := _read(folder))]
    return sorted(found, key=lambda snapshot: (snapshot.created_at, snapshot.id))


def list_ids(layout: Layout) -> list[str]:
    """Return the id of every snapshot, including damaged ones."""
    return [path.name for path in list_own(layout.snapshots, SNAPSHOT_ID)]


def forget_name(layout: Layout, snapshot: Snapshot) -> None:
    """Remove a snapshot's name, so that it is removed once no VM runs from it."""
    changed = msgspec.structs.replace(snapshot, name=None)
    write_atomic(layout.snapshot_dir(snapshot.id) / MANIFEST, msgspec.json.encode(changed))


def _read(folder: Path) -> Snapshot | None:
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Snapshot)
    except (OSError, msgspec.DecodeError):
        return None
