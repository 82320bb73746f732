"""The tools that a repository pins, installed in real VMs by a stand-in for mise.

Mise itself gets its tools from places that the tests' hosts do not reach.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import repositories
from tests.support.imports import BUSYBOX, import_layers
from tests.support.installations import Installation
from tests.support.tars import Member, make_tar, symlink
from tests.support.vms import TINY

MISE = """#!/bin/sh
# What it installs has a number of its own.
case $1 in
install) case $3 in *@99) echo "no such version" >&2; exit 1 ;; esac
    mkdir -p "/opt/$3"
    printf '#!/bin/sh\\necho %s\\n' "$3 $(cat /proc/sys/kernel/random/uuid)" >"/opt/$3/${3%@*}"
    chmod +x "/opt/$3/${3%@*}" ;;
bin-paths) echo "/opt/$2" ;;
esac
"""
SHAPE = TINY[2:]


@pytest.fixture(scope="module")
def image(banger: Installation, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of a shell, its tools and a stand-in for mise."""
    layer = make_tar(
        Member("bin/busybox", BUSYBOX.read_bytes(), mode=0o755),
        *(
            symlink(f"bin/{name}", "busybox")
            for name in ("sh", "cat", "chmod", "mkdir", "rm", "true")
        ),
        Member("bin/mise", MISE.encode(), mode=0o755),
    )
    return import_layers(banger, tmp_path_factory.mktemp("image"), [layer])


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = repositories.init(tmp_path / "project")
    repositories.write(top, ".tool-versions", b"nodejs 20.1.0\n")
    repositories.commit(top)
    return top


def run(banger: Installation, top: Path, image: str, *words: str) -> str:
    return banger.do("vm", "run", "-d", "--image", image, *SHAPE, *words, top).text


def test_what_is_pinned_is_there_and_installed_once(
    banger: Installation, image: str, top: Path
) -> None:
    """A9, C3: from the first command on, also in another repository with the same pins."""
    first = run(banger, top, image)
    other = repositories.init(top.with_name("other"))
    repositories.write(other, ".node-version", b"v20.1.0\n")
    repositories.commit(other)
    second = run(banger, other, image)
    try:
        said = banger.exec(first, "node", status=0).text
        assert said.startswith("node@20.1.0 ")
        assert banger.exec(second, "node", status=0).text == said
        banger.do("vm", "wait", first, "bootstrap")
        assert banger.do("vm", "logs", first, "bootstrap").text == "Installed: node@20.1.0"
    finally:
        banger.do("vm", "delete", first, second)


def test_no_bootstrap(banger: Installation, image: str, top: Path) -> None:
    name = run(banger, top, image, "--no-bootstrap")
    try:
        assert banger.exec(name, "sh", "-c", "command -v node").status == 127
        assert banger.json("vm", "session", "list", name) == []
    finally:
        banger.do("vm", "delete", name)


def test_what_cannot_be_installed_fails_no_run(banger: Installation, image: str, top: Path) -> None:
    """H6: the log says why; the next run does not try a template again."""
    repositories.write(top, ".tool-versions", b"nodejs 99\n")
    ended = banger.do("vm", "run", "-d", "--image", image, *SHAPE, top)
    name = ended.text
    try:
        assert "could not be installed beforehand" in ended.err
        assert banger.run("vm", "wait", name, "bootstrap").status == 1
        log = banger.do("vm", "logs", name, "bootstrap")
        assert b"no such version" in log.out + log.err.encode()
        again = banger.do("vm", "run", "--rm", "--image", image, *SHAPE, top, "--", "true")
        assert "beforehand" not in again.err
    finally:
        banger.do("vm", "delete", name)
