"""Arguments that are not UTF-8, or very long: host paths work, names are refused in a sentence."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.component.daemon.running import banger, layout_of

Environ = dict[str, str]

ODD = os.fsdecode(b"caf\xe9")
LONG = "a" * 4000

WORDS = (
    ("vm", "create", "--name", ODD),
    ("vm", "create", "--label", f"a={ODD}"),
    ("vm", "create", "--label", f"{ODD}=a"),
    ("vm", "create", "--image", ODD),
    ("vm", "show", ODD),
    ("vm", "set", ODD, "--label", f"a={ODD}"),
    ("vm", "exec", ODD, "--", ODD),
    ("vm", "workspace", "export", ODD, "-o", ODD),
    ("vm", "snapshot", "create", ODD, ODD),
    ("image", "show", ODD),
    ("image", "delete", ODD),
    ("image", "pull", ODD),
    ("image", "import", ODD),
    ("image", "register", ODD, ODD),
    ("image", "register", "x", ODD),
    ("image", "build", ODD),
    ("image", "build", "--file", ODD, "x"),
    ("image", "promote", ODD),
    ("kernel", "show", ODD),
    ("kernel", "pull", ODD),
    ("kernel", "import", ODD, "--kernel", ODD),
    ("template", "delete", ODD),
    ("operations", "cancel", ODD),
    (ODD,),
)


@pytest.fixture
def environ(private_environ: Environ) -> Environ:
    return private_environ


@pytest.mark.parametrize("odd", [ODD, LONG])
def test_an_odd_argument_is_a_sentence(environ: Environ, odd: str) -> None:
    """F4."""
    try:
        for words in WORDS:
            given = [word.replace(ODD, odd) for word in words]
            done = banger(environ, *given)
            said = done.stderr.decode("utf-8", "replace")
            assert done.returncode in (2, 4, 125), (words, said)
            assert said.startswith("banger: "), (words, said)
    finally:
        banger(environ, "daemon", "stop")
    assert not layout_of(environ).reports.exists()


def test_an_archive_of_any_name_is_imported(environ: Environ, tmp_path: Path) -> None:
    folder = tmp_path / ODD
    (folder / "root/bin").mkdir(parents=True)
    (folder / "root/bin/sh").touch(0o755)
    archive = folder / f"{ODD}.tar"
    subprocess.run(["tar", "-C", folder / "root", "-cf", archive, "."], check=True)
    try:
        done = banger(environ, "image", "import", archive.name, "odd", cwd=folder)
        assert done.returncode == 0, done.stderr
        assert banger(environ, "image", "show", "odd").returncode == 0
    finally:
        banger(environ, "daemon", "stop")
