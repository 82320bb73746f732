"""H10: every command of the README's tour does what the README says."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.host.programs import Finished, run_sync
from tests.support.artifacts import CHECKOUT

BLOCK_DEADLINE_S = 900.0
README = (CHECKOUT / "README.md").read_text("utf-8")
TOUR = re.search(r"^## A 60-second tour$(.*?)^## ", README, re.M | re.S)
INTO_PATH = re.search(r"^```sh\n(export PATH=.*?)^```", README, re.M | re.S)


@pytest.fixture
def newcomer(
    short_dir: Path, private_environ: dict[str, str], system: str
) -> Iterator[dict[str, str]]:
    """A user with a checkout in which it was built; image, kernel and template are there."""
    shutil.copytree(CHECKOUT / "examples", short_dir / "checkout/examples")
    _run(["git", "init", "--quiet"], private_environ, short_dir)
    _run(["git", "add", "--all"], private_environ, short_dir)
    identity = ["-c", "user.name=A", "-c", "user.email=a@localhost"]
    _run(["git", *identity, "commit", "--quiet", "-m", "Begin"], private_environ, short_dir)
    private_environ["XDG_DATA_HOME"] = os.environ["XDG_DATA_HOME"]
    (short_dir / "checkout/.venv").symlink_to(sys.prefix)
    yield private_environ
    _run([".venv/bin/banger", "daemon", "stop"], private_environ, short_dir)


def _run(argv: list[str], environ: dict[str, str], short_dir: Path) -> Finished:
    return run_sync(
        argv, deadline_s=BLOCK_DEADLINE_S, cwd=short_dir / "checkout", env=environ, ok=range(256)
    )


@pytest.mark.timeout(4 * BLOCK_DEADLINE_S)
def test_the_tour_works(newcomer: dict[str, str], short_dir: Path) -> None:
    assert TOUR
    assert INTO_PATH
    blocks = re.findall(r"^```sh\n(.*?)^```", TOUR[1], re.M | re.S)
    assert len(blocks) == 8
    said = []
    for block in blocks:
        finished = _run(
            ["bash", "-euo", "pipefail", "-c", INTO_PATH[1] + block], newcomer, short_dir
        )
        said.append(finished.text)
        assert finished.status == 0, f"{block}\n{finished.text}\n{finished.stderr.decode()}"
    assert "4 tests passed" in said[0]
    assert "root" in said[1]
    assert "+Made in a VM." in (short_dir / "checkout/tour.patch").read_text()
    assert (short_dir / "checkout/hostname").read_text() == "tour\n"
    assert said[4] == "job\nbegun\ndone\n"
    assert "Made in a VM." in said[5]
    for number in (1, 2, 3):
        assert f"banger/try-{number}\n" in said[6]
    assert "./test_ring 3" in said[6] and "4 tests passed" in said[6]
    assert "qemu" in said[7]
