"""Folders of ours in which somebody left something: it is passed over, and stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from banger.artifacts.store import ArtifactStore
from banger.layout import Layout, layout_from_environment
from banger.model.artifacts import Image
from banger.templates import list_ids, list_snapshots, list_templates, make_room

HEX = "0123456789abcdef" * 4


def _litter(folder: Path) -> list[Path]:
    """Leave an editor's files, a copied directory, a link to nowhere, a file named as ours are."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "notes.txt~").touch()
    (folder / HEX).touch()
    (folder / HEX[:16]).touch()
    (folder / f"{HEX} (copy)").mkdir()
    (folder / f"{HEX} (copy)" / "manifest.json").touch()
    (folder / "link").symlink_to(folder / "nowhere")
    (folder / "caf\udce9").touch()
    return sorted(folder.iterdir())


def _images(layout: Layout) -> ArtifactStore[Image]:
    return ArtifactStore(layout.images, staging=layout.staging, kind=Image)


LISTS: dict[str, Callable[[Layout], object]] = {
    "templates": list_templates,
    "snapshots": list_snapshots,
    "ids": list_ids,
    "images": lambda layout: _images(layout).list_all(),
    "names": lambda layout: list(_images(layout).names()),
    "room": lambda layout: make_room(layout, limit_bytes=0, keep=frozenset()),
}


@pytest.mark.parametrize("what", LISTS)
def test_what_is_not_ours_is_passed_over(private_environ: dict[str, str], what: str) -> None:
    """A6, B9."""
    layout = layout_from_environment(private_environ)
    folders = (layout.images / "names", layout.images, layout.templates, layout.snapshots)
    before = [_litter(folder) for folder in folders]
    assert LISTS[what](layout) == []
    assert [sorted(folder.iterdir()) for folder in folders] == before
