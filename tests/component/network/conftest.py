"""The programs that can make a user network, each alone on its host."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.host import programs

BACK_ENDS = {
    "slirp4netns": ("slirp4netns", "bwrap"),
    "slirp4netns without a jail": ("slirp4netns",),
    "passt": ("passt", "bwrap"),
}


@pytest.fixture(params=BACK_ENDS)
def back_end(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Find only these programs on this host."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in BACK_ENDS[request.param]:
        found = programs.find_tool(name)
        assert found is not None, f"{name} is not installed"
        (folder / name).symlink_to(found)
    monkeypatch.setattr(programs, "SYSTEM_PATH", str(folder))
    monkeypatch.setenv("PATH", str(folder))
