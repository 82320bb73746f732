"""Stores of images and kernels: an artefact is complete or absent, and a name moves in one step."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from banger.artifacts.store import MANIFEST, ArtifactStore
from banger.errors import HostNotReady, InvalidRequest
from banger.host.files import staged_dir
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
def store(tmp_path: Path) -> ArtifactStore[Image]:
    return ArtifactStore(tmp_path / "images", staging=tmp_path / "staging", kind=Image)


def publish(store: ArtifactStore[Image], manifest: Image, content: bytes = b"root") -> Image:
    with staged_dir(store.staging, prefix="t") as staged:
        (staged / "root").write_bytes(content)
        return store.publish(staged, manifest)


def test_what_is_published_is_found_by_name_digest_and_prefix(store: ArtifactStore[Image]) -> None:
    assert publish(store, image(A)) == image(A)
    for reference in ("small", A, A[:6]):
        assert store.find(reference) == image(A)
    assert store.find("none") is None
    assert store.find(A[:5]) is None
    assert list(store.staging.iterdir()) == []


def test_a_folder_that_is_linked_to_another_file_system_is_named(tmp_path: Path) -> None:
    """A10: a sentence, and nothing stays."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (tmp_path / "images").symlink_to(elsewhere)
        store = ArtifactStore(tmp_path / "images", staging=tmp_path / "staging", kind=Image)
        with pytest.raises(HostNotReady, match=r"images is on another file system than .*staging"):
            publish(store, image(A))
        assert [*store.staging.iterdir(), *Path(elsewhere).iterdir()] == []


def test_an_ambiguous_prefix_lists_the_candidates(store: ArtifactStore[Image]) -> None:
    publish(store, image(A))
    publish(store, image(B, "other"))
    with pytest.raises(InvalidRequest, match=A[:12]):
        store.find(A[:8])


def test_the_second_publisher_changes_nothing(store: ArtifactStore[Image]) -> None:
    """A7, C3: an artefact that may be in use is never rewritten."""
    publish(store, image(A), b"first")
    inode = (store.directory(A) / "root").stat().st_ino
    publish(store, image(A, "second-name"), b"other")
    assert (store.directory(A) / "root").read_bytes() == b"first"
    assert (store.directory(A) / "root").stat().st_ino == inode
    assert store.find("second-name") is not None
    assert store.find("small") is not None


def test_a_name_moves_and_the_old_artefact_stays(store: ArtifactStore[Image]) -> None:
    publish(store, image(A))
    publish(store, image(B))
    found = store.find("small")
    assert found is not None
    assert found.digest == B
    assert {i.digest for i in store.list_all()} == {A, B}


@pytest.mark.parametrize("content", [b"", b"{", b'{"digest": "x"}', b"\xff"])
def test_a_broken_manifest_hides_its_artefact_only(
    store: ArtifactStore[Image], content: bytes
) -> None:
    """A8, A9, B9: and publishing it again repairs it."""
    publish(store, image(A))
    publish(store, image(B, "other"))
    (store.directory(A) / MANIFEST).write_bytes(content)
    assert store.find("small") is None
    assert [i.digest for i in store.list_all()] == [B]
    publish(store, image(A), b"again")
    assert store.find("small") == image(A)
    assert (store.directory(A) / "root").read_bytes() == b"again"


def test_a_failure_before_the_manifest_leaves_nothing(store: ArtifactStore[Image]) -> None:
    """A9."""

    def publish_half() -> None:
        with staged_dir(store.staging, prefix="t") as staged:
            (staged / "root").write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        publish_half()
    assert store.list_all() == []
    assert list(store.staging.iterdir()) == []


def test_remove_takes_the_names_and_only_ours(store: ArtifactStore[Image], tmp_path: Path) -> None:
    """A6: exact paths, through no link, and twice is fine."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("kept")
    publish(store, image(A))
    os.symlink(theirs, store.directory(A) / "link")
    publish(store, image(B, "other"))
    store.remove(A)
    store.remove(A)
    assert store.find("small") is None
    assert [i.name for i in store.list_all()] == ["other"]
    assert (theirs / "file").read_text() == "kept"
    assert list(store.staging.iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../x", "nul\0", "ü", ".hidden"])
def test_names_never_leave_the_directory(
    store: ArtifactStore[Image], tmp_path: Path, name: str
) -> None:
    publish(store, image(A, name))
    assert store.find(name) == image(A, name)
    inside = [p for p in (store.root / "names").iterdir() if p.is_file()]
    assert len(inside) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["images", "staging"]


def test_empty_and_endless_names_are_refused(store: ArtifactStore[Image]) -> None:
    for name in ("", "x" * 300):
        with pytest.raises(InvalidRequest):
            store.point(name, A)
        assert store.find(name) is None
