"""Reading single files of a work tree, while somebody else changes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from banger.errors import RepositoryRefused
from banger.workspace import hostfiles
from banger.workspace.worktree import open_work_tree


def test_a_file_without_its_directory_is_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E1, F4: of this process's own directory, for one."""
    top = tmp_path / "top"
    top.mkdir()
    (tmp_path / "file").write_text("secret")
    (tmp_path / "link").symlink_to("secret")
    (top / "away").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    with open_work_tree(top) as tree:
        for directory in (b"gone", b"away"):
            with pytest.raises(FileNotFoundError):
                os.close(tree.open(directory + b"/file"))
            with pytest.raises(FileNotFoundError):
                tree.read_link(directory + b"/link")


def test_a_file_that_goes_while_it_is_compared_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A11: it is not taken for one that was deleted, and for no bug."""
    path = tmp_path / "file"
    path.touch()

    def is_sendable(status: os.stat_result) -> bool:
        path.unlink()
        return True

    monkeypatch.setattr(hostfiles, "is_sendable", is_sendable)
    with pytest.raises(RepositoryRefused, match="'file' changed while it was compared"):
        hostfiles.read_host_files(tmp_path, [b"file"], "sha1", modes={})
