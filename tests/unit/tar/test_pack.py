"""A tree of the host as a tar stream: what cannot be read is named. Real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from banger.errors import OperationFailed
from banger.tar.pack import Packing


def refusal(path: str, name: bytes | None = b"x") -> str:
    with pytest.raises(OperationFailed) as caught:
        list(Packing(keep_owners=False).chunks(os.fsencode(path), name))
    return caught.value.message


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with a file two directories below its top."""
    below = tmp_path / "tree." / "a" / "b"
    below.mkdir(parents=True)
    (below / "file").write_text("content")
    return tmp_path / "tree."


@pytest.mark.parametrize("end", ["", "/", "/."])
def test_a_file_of_a_tree_is_named_with_its_whole_path(tree: Path, end: str) -> None:
    """H6."""
    secret = tree / "a" / "b" / "file"
    secret.chmod(0)
    assert refusal(f"{tree}{end}") == f"{secret} cannot be read: Permission denied."


def test_a_directory_of_a_tree_is_named_with_its_whole_path(tree: Path) -> None:
    """H6."""
    closed = tree / "a" / "b"
    closed.chmod(0)
    try:
        assert refusal(str(tree), None) == f"{closed} cannot be read: Permission denied."
    finally:
        closed.chmod(0o700)


def test_a_path_is_named_as_it_was_asked_for(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H6: a file, and a tree, that is given relative to the working directory."""
    monkeypatch.chdir(tree)
    (tree / "a" / "b" / "file").chmod(0)
    assert refusal("a/b/file") == "a/b/file cannot be read: Permission denied."
    assert refusal("a") == "a/b/file cannot be read: Permission denied."
    assert refusal("no/such") == "no/such cannot be read: No such file or directory."
