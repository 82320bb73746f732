"""Snapshots on disk: A9, B9; one without its name is still whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.errors import TemplateUnusable
from banger.layout import Layout, layout_from_environment
from banger.model.names import VmId
from banger.templates import (
    DATA,
    MEMORY,
    STATE,
    SavedFiles,
    Snapshot,
    forget_name,
    list_ids,
    list_snapshots,
    publish_snapshot,
    remove_saved,
    require_intact,
)

A, B, C = (letter * 16 for letter in "abc")
VM = VmId("00ff10203040")


@pytest.fixture
def layout(private_environ: dict[str, str]) -> Layout:
    return layout_from_environment(private_environ)


def publish(layout: Layout, snapshot_id: str, *, name: str | None, created_at: float = 1.0) -> Path:
    staged = layout.saving_dir(snapshot_id)
    staged.mkdir(parents=True)
    for file in (MEMORY, STATE, DATA):
        (staged / file).write_bytes(f"{file} of {snapshot_id}".encode() * 1000)
    snapshot = Snapshot(
        id=snapshot_id,
        vm_id=VM,
        name=name,
        machine="m",
        created_at=created_at,
        saved=SavedFiles(state_sha256="", files={}),
    )
    publish_snapshot(layout, staged, snapshot)
    assert not staged.exists()
    return layout.snapshot_dir(snapshot_id)


def test_what_was_published_is_listed_oldest_first(layout: Layout) -> None:
    assert list_snapshots(layout) == [] and list_ids(layout) == []
    publish(layout, B, name="later", created_at=2.0)
    publish(layout, A, name=None, created_at=3.0)
    publish(layout, C, name="first", created_at=1.0)
    assert [(found.id, found.name) for found in list_snapshots(layout)] == [
        (C, "first"),
        (B, "later"),
        (A, None),
    ]
    assert sorted(list_ids(layout)) == [A, B, C]


def test_one_that_cannot_be_read_is_nobodys_but_is_known(layout: Layout) -> None:
    """B9: the others are listed, and its id is there to be swept."""
    folder = publish(layout, A, name="one")
    publish(layout, B, name="two")
    (folder / "manifest.json").write_bytes(b"{")
    assert [found.id for found in list_snapshots(layout)] == [B]
    assert sorted(list_ids(layout)) == [A, B]


def test_without_its_name_it_is_still_intact(layout: Layout) -> None:
    """C4: VMs may run on it."""
    folder = publish(layout, A, name="one")
    (found,) = list_snapshots(layout)
    forget_name(layout, found)
    (nameless,) = list_snapshots(layout)
    assert nameless.name is None and nameless.saved == found.saved
    require_intact(folder, nameless.saved, what="snapshot")
    (folder / STATE).chmod(0o600)
    (folder / STATE).write_bytes(b"x" * (folder / STATE).stat().st_size)
    with pytest.raises(TemplateUnusable, match="was changed"):
        require_intact(folder, nameless.saved, what="snapshot")


def test_removal_leaves_nothing(layout: Layout) -> None:
    folder = publish(layout, A, name="one")
    assert remove_saved(layout, folder)
    assert not remove_saved(layout, folder)
    assert list_ids(layout) == []
    assert list(layout.staging.iterdir()) == []
