"""What follows into the guest, and what does not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.workspace.settings import is_partial_clone, render_config, strip_credentials


@pytest.mark.parametrize(
    ("url", "stripped"),
    [
        (b"https://user:token@example.com/a/b.git", b"https://example.com/a/b.git"),
        (b"https://token@example.com/a", b"https://example.com/a"),
        (b"https://a%40b:p@ss@example.com/a", b"https://example.com/a"),
        (b"https://example.com/a?private_token=x#y", b"https://example.com/a"),
        (b"HTTPS://u:p@example.com/a", b"HTTPS://example.com/a"),
        (b"ssh://git:secret@example.com:22/a", b"ssh://git@example.com:22/a"),
        (b"ssh://example.com/a", b"ssh://example.com/a"),
        (b"git@example.com:a/b.git", b"git@example.com:a/b.git"),
        (b"/srv/git/a.git", b"/srv/git/a.git"),
        (b"file:///srv/git/a.git", b"file:///srv/git/a.git"),
        (b"ext::sh -c evil", b""),
        (b"--upload-pack=evil", b""),
        (b"", b""),
    ],
)
def test_credentials_stay_on_the_host(url: bytes, stripped: bytes) -> None:
    """G6: no secret of the origin's URL reaches the guest."""
    assert strip_credentials(url) == stripped


@given(st.binary(max_size=40).filter(lambda value: 0 not in value and b"\r" not in value))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_git_reads_the_values_that_were_written(tmp_path: Path, value: bytes) -> None:
    file = tmp_path / "config"
    file.write_bytes(
        render_config({"user.name": value, "remote.origin.url": b"x", "user.email": b"y"})
    )
    listed = subprocess.run(
        ["git", "config", "--file", file, "--list", "-z"], capture_output=True, check=True
    )
    assert listed.stdout == b"user.name\n%s\0user.email\ny\0remote.origin.url\nx\0" % value


def test_knows_partial_clones() -> None:
    assert is_partial_clone({"remote.origin.promisor": b"true"})
    assert is_partial_clone({"extensions.partialclone": b"origin"})
    assert not is_partial_clone({"remote.origin.url": b"x"})
