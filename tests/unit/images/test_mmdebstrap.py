"""What must be there before a build starts, and what its messages mean."""

from __future__ import annotations

import asyncio
import os
import pwd
from pathlib import Path

import pytest

from banger.errors import HostNotReady, NoSpace, ToolFailed, ToolMissing
from banger.host.mmdebstrap import check_with_space, require_mmdebstrap, watch
from banger.host.programs import Finished


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host on which all is well: tools, ranges, keyring."""
    (tmp_path / "bin").mkdir()
    for tool in ("mmdebstrap", "newuidmap", "newgidmap"):
        (tmp_path / "bin" / tool).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("banger.host.programs.SYSTEM_PATH", "/nonexistent")
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text(f"x:1:2\n{pwd.getpwuid(os.getuid()).pw_name}:100000:65536\n")
    (tmp_path / "debian-archive-keyring.gpg").touch()
    return tmp_path


def test_a_ready_host_passes_by_name_or_uid(ready: Path) -> None:
    require_mmdebstrap(etc=ready, keyrings=ready)
    (ready / "subuid").write_text(f"{os.getuid()}:100000:65536\n")
    require_mmdebstrap(etc=ready, keyrings=ready)


def test_all_missing_tools_are_named_at_once(ready: Path) -> None:
    """H8."""
    (ready / "bin/mmdebstrap").unlink()
    (ready / "bin/newgidmap").unlink()
    with pytest.raises(ToolMissing, match="mmdebstrap, newgidmap") as caught:
        require_mmdebstrap(etc=ready, keyrings=ready)
    assert caught.value.hint == "banger setup"


@pytest.mark.parametrize("name", ["subuid", "subgid"])
@pytest.mark.parametrize("content", [None, "", "somebody:1:2\n"])
def test_a_user_without_a_range_is_told(ready: Path, name: str, content: str | None) -> None:
    (ready / name).unlink()
    if content is not None:
        (ready / name).write_text(content)
    with pytest.raises(HostNotReady, match=name):
        require_mmdebstrap(etc=ready, keyrings=ready)


def test_a_missing_keyring_is_told(ready: Path) -> None:
    (ready / "debian-archive-keyring.gpg").unlink()
    with pytest.raises(HostNotReady, match="keyring"):
        require_mmdebstrap(etc=ready, keyrings=ready)


@pytest.mark.parametrize(
    "said",
    [
        b"E: write failed: No space left on device\n",
        b"E: You don't have enough free space in /var/cache/apt/archives/.\n",
    ],
)
def test_a_full_file_system_is_named(said: bytes) -> None:
    """A10."""
    with pytest.raises(NoSpace, match="/some/where"):
        check_with_space(Finished(("mmdebstrap",), 1, b"", said), "/some/where")


def test_other_failures_carry_the_end_of_the_messages() -> None:
    with pytest.raises(ToolFailed, match="E: the reason") as caught:
        check_with_space(
            Finished(("mmdebstrap", "x"), 25, b"", b"x" * 9000 + b"\nE: the reason"), "/"
        )
    assert caught.value.details is not None
    assert caught.value.details.endswith("E: the reason")


def test_stages_are_reported_and_the_end_is_kept() -> None:
    async def scenario() -> tuple[list[str], bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(b"I: one stage...\nnoise\nI: removing tempdir /x...\nI: two")
        reader.feed_data(b" stages...\n" + b"y" * 100_000)
        reader.feed_eof()
        stages: list[str] = []
        return stages, await watch(reader, stages.append)

    stages, tail = asyncio.run(scenario())
    assert stages == ["one stage", "two stages"]
    assert tail == b"y" * 65536
