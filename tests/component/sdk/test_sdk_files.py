"""Files of a VM by both clients; they are those of a real agent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from banger import errors
from tests.component.sdk.conftest import Box


def test_files_are_written_and_read(box: Box, guest_directory: Path) -> None:
    data = bytes(range(256)) * 10_000
    box.do("files.write", "data", data, mode=0o600)
    assert (guest_directory / "data").stat().st_mode & 0o777 == 0o600
    assert box.do("files.read", str(guest_directory / "data")) == data
    box.do("write", "data", "text")
    assert box.do("read", "data") == b"text"
    with pytest.raises(errors.GuestPathNotFound):
        box.do("files.read", "none")
    with pytest.raises(errors.GuestRefused):
        box.do("files.read", str(guest_directory))


def test_a_directory_is_listed_by_name(box: Box, guest_directory: Path) -> None:
    (guest_directory / "sub").mkdir()
    (guest_directory / "sub/deep").touch()
    (guest_directory / "file").write_bytes(b"12345")
    (guest_directory / "link").symlink_to("sub")
    os.close(os.open(os.fsencode(guest_directory) + b"/caf\xe9", os.O_CREAT, 0o640))
    found = box.do("files.list")
    assert [(each["name"], each["kind"]) for each in found] == [
        ("caf\udce9", "file"),
        ("file", "file"),
        ("link", "link"),
        ("sub", "directory"),
    ]
    seen = (guest_directory / "file").stat()
    assert (found[1]["size"], found[1]["uid"]) == (5, seen.st_uid)
    assert found[1]["modified_at"] == pytest.approx(seen.st_mtime)
    assert found[0]["mode"] == 0o640
    # A link is followed, as by `ls` with a slash.
    assert [each["name"] for each in box.do("files.list", "link")] == ["deep"]


def test_what_cannot_be_listed(box: Box, guest_directory: Path) -> None:
    (guest_directory / "file").touch()
    with pytest.raises(errors.GuestPathNotFound):
        box.do("files.list", "none")
    with pytest.raises(errors.InvalidRequest, match="is not a directory"):
        box.do("files.list", "file")


def test_a_path_is_looked_at(box: Box, guest_directory: Path) -> None:
    (guest_directory / "file").write_bytes(b"12345")
    (guest_directory / "link").symlink_to("file")
    link = box.do("files.stat", "link")
    assert (link["kind"], link["target"]) == ("link", "file")
    followed = box.do("files.stat", "link", follow=True)
    assert (followed["kind"], followed["size"]) == ("file", 5)
    with pytest.raises(errors.GuestPathNotFound):
        box.do("files.stat", "none")


def test_changes_are_told(box: Box, guest_directory: Path) -> None:
    with box.open(box.do("files.watch")) as changes:
        told = box.read(changes)
        (guest_directory / "sub").mkdir()
        assert next(told) == {"kind": "created", "path": str(guest_directory / "sub")}
        box.do("files.write", "sub/file", "text")
        seen = set()
        while ("created", "sub/file") not in seen:
            change = next(told)
            seen.add((change["kind"], str(Path(change["path"]).relative_to(guest_directory))))


def test_what_cannot_be_watched(box: Box, guest_directory: Path) -> None:
    (guest_directory / "file").touch()
    for path, error in [
        ("none", errors.GuestPathNotFound),
        ("file", errors.InvalidRequest),
        ("/proc", errors.InvalidRequest),
    ]:
        with pytest.raises(error), box.open(box.do("files.watch", path)):
            raise AssertionError("it is watched")
