"""Git's index: every version is read as git reads it, and written as git accepts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.errors import RepositoryRefused
from banger.model.entries import GuestEntry
from banger.workspace.gitindex import parse_index, restat_index
from tests.support import repositories as repo


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_every_version_is_read_and_written(
    tmp_path: Path, version: str, object_format: str
) -> None:
    top = tmp_path / "top"
    top.mkdir()
    repo.git(top, "init", "--quiet", f"--object-format={object_format}")
    for name in (b"a", b"dir/long name", b"dir/long name too", b"dir/\xff", b"x" * 200):
        repo.write(top, name, name)
    repo.git(top, "add", "--all")
    repo.write(top, "intended")
    repo.git(top, "add", "--intent-to-add", "intended")
    repo.git(top, "update-index", "--index-version", version)
    content = (top / ".git/index").read_bytes()
    entries = parse_index(content, object_format)
    listed = repo.git(top, "ls-files", "--stage", "-z").split(b"\0")[:-1]
    assert [b"%o %s 0\t%s" % (e.mode, e.blob.encode(), e.name) for e in entries] == listed
    changed = restat_index(
        content,
        object_format,
        find=lambda entry: GuestEntry(entry.name, 0, 8, 9, 2**32 + 10, 2**32 + 11, 12, 13),
    )
    (top / ".git/index").write_bytes(changed)
    said = repo.git(top, "ls-files", "--debug").decode()
    assert said.count("ino: 11") == said.count("uid: 8\tgid: 9") == len(entries)
    assert said.count("ctime: 0:13") == said.count("mtime: 0:12") == len(entries)
    assert repo.git(top, "ls-files", "--stage", "-z").split(b"\0")[:-1] == listed


@pytest.mark.parametrize(
    "content", [b"", b"DIRC", b"DIRC\0\0\0\5\0\0\0\0", b"DIRC\0\0\0\2\0\0\0\1x"]
)
def test_what_is_no_index_is_refused(content: bytes) -> None:
    with pytest.raises(RepositoryRefused):
        parse_index(content, "sha1")
