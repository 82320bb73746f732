"""Files of a repository are read and nothing else is; trust is of a content (F4)."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from banger.errors import ConfigInvalid
from banger.host.reading import FILE_MAX_BYTES, Content, read_below, read_text
from banger.layout import Layout
from banger.project.trust import is_trusted, make_digest, remove_trust, save_trust


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository beside a file that is not its own."""
    (tmp_path / "secret").write_text("not the repository's")
    (tmp_path / "top/sub").mkdir(parents=True)
    return tmp_path / "top"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    folder = tmp_path / "own"
    return Layout(
        config=folder / "c", data=folder / "d", state=folder / "s", cache=folder, runtime=folder
    )


def test_a_file_and_none(top: Path) -> None:
    (top / "sub/file").write_text("text")
    assert read_text(top, "sub/file") == "text"
    assert read_text(top, "file") is None
    assert read_text(top, "none/file") is None


def test_a_link_is_not_followed(top: Path) -> None:
    """F4: neither at the end nor on the way, wherever it leads to."""
    (top / "link").symlink_to("../secret")
    (top / "inside").symlink_to("sub")
    (top / "dangling").symlink_to("/no/such/file")
    (top / "sub/file").write_text("text")
    for path in ("link", "dangling", "inside/file"):
        with pytest.raises(ConfigInvalid, match="not followed"):
            read_text(top, path)


def test_what_is_no_file_is_refused_at_once(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F4: a pipe without a writer, too."""
    monkeypatch.chdir(top)  # a socket's path may be short only
    os.mkfifo(top / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        for path in ("pipe", "socket", "sub"):
            with pytest.raises(ConfigInvalid):
                read_text(top, path)


def test_sizes_and_encodings_have_limits(top: Path) -> None:
    (top / "large").write_bytes(b"#" * (FILE_MAX_BYTES + 1))
    (top / "full").write_bytes(b"#" * FILE_MAX_BYTES)
    (top / "latin").write_bytes(b"# \xe9")
    assert read_text(top, "full") is not None
    with pytest.raises(ConfigInvalid, match="more than"):
        read_text(top, "large")
    with pytest.raises(ConfigInvalid, match="UTF-8"):
        read_text(top, "latin")
    assert read_below(top, "latin", limit=3) == Content(b"# \xe9", executable=False)
    (top / "latin").chmod(0o755)
    assert read_below(top, "latin", limit=3) == Content(b"# \xe9", executable=True)


def test_trust_is_private_and_of_one_content(layout: Layout) -> None:
    """G1: 0700 and 0600 whatever the umask is."""
    digest, other = make_digest("banger.toml", b"a"), make_digest("banger.toml", b"b")
    before = os.umask(0)
    try:
        save_trust(layout, digest, "/top/banger.toml")
    finally:
        os.umask(before)
    assert is_trusted(layout, digest)
    assert not is_trusted(layout, other)
    assert not is_trusted(layout, make_digest("devcontainer.json", b"a"))
    assert stat.S_IMODE(layout.trusted.stat().st_mode) == 0o700
    assert stat.S_IMODE((layout.trusted / digest).stat().st_mode) == 0o600
    assert remove_trust(layout, digest) and not is_trusted(layout, digest)
    assert not remove_trust(layout, digest)
