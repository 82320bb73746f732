"""Files of a VM travel as archives of one entry; what a VM sends is hostile."""

from __future__ import annotations

import pytest

from banger.errors import GuestProtocolError, GuestRefused, InvalidRequest
from banger.sdk.archives import plan_write, unpack_file
from banger.tar.format import END_OF_TAR
from banger.tar.write import directory_entry, file_entry, symlink_entry


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 100])
def test_what_is_written_can_be_read(data: bytes) -> None:
    params, archive = plan_write("box", "/a/b c", data, mode=0o600)
    assert params == {"ref": "box", "path": "/a"}
    assert unpack_file(archive, "/a/b c") == data


def test_a_relative_path_is_below_where_commands_start() -> None:
    assert plan_write("box", "b", "text", mode=0o644)[0]["path"] == "."


@pytest.mark.parametrize("path", ["", "/", "/a/", "/a/.."])
def test_a_path_without_a_name(path: str) -> None:
    with pytest.raises(InvalidRequest):
        plan_write("box", path, b"", mode=0o644)


@pytest.mark.parametrize(
    "archive",
    [END_OF_TAR, directory_entry(b"a") + END_OF_TAR, symlink_entry(b"a", b"b") + END_OF_TAR],
)
def test_what_is_no_file(archive: bytes) -> None:
    with pytest.raises(GuestRefused):
        unpack_file(archive, "/a")


@pytest.mark.parametrize("archive", [b"x" * 512, file_entry(b"a", b"b" * 2000)[:1000]])
def test_a_malformed_archive(archive: bytes) -> None:
    """E3: an error of its own, not a content that is short."""
    with pytest.raises(GuestProtocolError):
        unpack_file(archive, "/a")
