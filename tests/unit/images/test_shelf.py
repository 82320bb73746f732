"""Shelves of images and kernels: whole or not there, and names that move in one step."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from banger.errors import HostNotReady, InvalidRequest
from banger.host.files import staged_dir
from banger.host.shelf import MANIFEST, Shelf
from banger.model.artifacts import Image


def image(digest: str, name: str = "small") -> Image:
    return Image(
        digest=digest,
        name=name,
        created_at=1,
        size_bytes=4,
        root="root",
        root_sha256="0" * 64,
        init=None,
        source="test",
    )


A, B = "a1" * 32, "a1" * 31 + "b2"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf[Image]:
    return Shelf(tmp_path / "images", staging=tmp_path / "staging", kind=Image)


def publish(shelf: Shelf[Image], manifest: Image, content: bytes = b"root") -> Image:
    with staged_dir(shelf.staging, prefix="t") as staged:
        (staged / "root").write_bytes(content)
        return shelf.publish(staged, manifest)


def test_what_is_published_is_found_by_name_digest_and_prefix(shelf: Shelf[Image]) -> None:
    assert publish(shelf, image(A)) == image(A)
    for reference in ("small", A, A[:6]):
        assert shelf.find(reference) == image(A)
    assert shelf.find("none") is None
    assert shelf.find(A[:5]) is None
    assert list(shelf.staging.iterdir()) == []


def test_a_folder_that_is_linked_to_another_file_system_is_named(tmp_path: Path) -> None:
    """A10: a sentence, and nothing stays."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (tmp_path / "images").symlink_to(elsewhere)
        shelf = Shelf(tmp_path / "images", staging=tmp_path / "staging", kind=Image)
        with pytest.raises(HostNotReady, match=r"images is on another file system than .*staging"):
            publish(shelf, image(A))
        assert [*shelf.staging.iterdir(), *Path(elsewhere).iterdir()] == []


def test_an_ambiguous_prefix_lists_the_candidates(shelf: Shelf[Image]) -> None:
    publish(shelf, image(A))
    publish(shelf, image(B, "other"))
    with pytest.raises(InvalidRequest, match=A[:12]):
        shelf.find(A[:8])


def test_the_second_publisher_changes_nothing(shelf: Shelf[Image]) -> None:
    """A7, C3: an artefact that may be in use is never rewritten."""
    publish(shelf, image(A), b"first")
    inode = (shelf.directory(A) / "root").stat().st_ino
    publish(shelf, image(A, "second-name"), b"other")
    assert (shelf.directory(A) / "root").read_bytes() == b"first"
    assert (shelf.directory(A) / "root").stat().st_ino == inode
    assert shelf.find("second-name") is not None
    assert shelf.find("small") is not None


def test_a_name_moves_and_the_old_artefact_stays(shelf: Shelf[Image]) -> None:
    publish(shelf, image(A))
    publish(shelf, image(B))
    found = shelf.find("small")
    assert found is not None
    assert found.digest == B
    assert {i.digest for i in shelf.list_all()} == {A, B}


@pytest.mark.parametrize("content", [b"", b"{", b'{"digest": "x"}', b"\xff"])
def test_a_broken_manifest_hides_its_artefact_only(shelf: Shelf[Image], content: bytes) -> None:
    """A8, A9, B9: and publishing it again repairs it."""
    publish(shelf, image(A))
    publish(shelf, image(B, "other"))
    (shelf.directory(A) / MANIFEST).write_bytes(content)
    assert shelf.find("small") is None
    assert [i.digest for i in shelf.list_all()] == [B]
    publish(shelf, image(A), b"again")
    assert shelf.find("small") == image(A)
    assert (shelf.directory(A) / "root").read_bytes() == b"again"


def test_a_failure_before_the_manifest_leaves_nothing(shelf: Shelf[Image]) -> None:
    """A9."""

    def publish_half() -> None:
        with staged_dir(shelf.staging, prefix="t") as staged:
            (staged / "root").write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        publish_half()
    assert shelf.list_all() == []
    assert list(shelf.staging.iterdir()) == []


def test_remove_takes_the_names_and_only_ours(shelf: Shelf[Image], tmp_path: Path) -> None:
    """A6: exact paths, through no link, and twice is fine."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("kept")
    publish(shelf, image(A))
    os.symlink(theirs, shelf.directory(A) / "link")
    publish(shelf, image(B, "other"))
    shelf.remove(A)
    shelf.remove(A)
    assert shelf.find("small") is None
    assert [i.name for i in shelf.list_all()] == ["other"]
    assert (theirs / "file").read_text() == "kept"
    assert list(shelf.staging.iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../x", "nul\0", "ü", ".hidden"])
def test_names_never_leave_the_directory(shelf: Shelf[Image], tmp_path: Path, name: str) -> None:
    publish(shelf, image(A, name))
    assert shelf.find(name) == image(A, name)
    inside = [p for p in (shelf.root / "names").iterdir() if p.is_file()]
    assert len(inside) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "staging"]


def test_empty_and_endless_names_are_refused(shelf: Shelf[Image]) -> None:
    for name in ("", "x" * 300):
        with pytest.raises(InvalidRequest):
            shelf.point(name, A)
        assert shelf.find(name) is None
