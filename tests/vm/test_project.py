"""`banger.toml` of a repository, followed by real VMs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import repositories
from tests.support.installations import Installation
from tests.support.vms import TINY_IMAGE

FILE = f"""\
image = "{TINY_IMAGE}"
memory = "256M"
disk = "1G"
vcpu = 1
network = "none"
ports = [8123]
env = {{ GREETING = "good day" }}
"""


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = repositories.init(tmp_path / "project")
    repositories.write(top, "banger.toml", FILE.encode())
    repositories.commit(top)
    return top


def test_a_vm_is_as_its_repository_says(banger: Installation, top: Path) -> None:
    """Shape, ports, and variables of every command, that of `vm exec`, too."""
    banger.do("trust", str(top))
    name = banger.do("vm", "run", "-d", str(top)).text
    try:
        (shown,) = [vm for vm in banger.vms() if vm["name"] == name]
        assert (shown["vcpu"], shown["memory_mib"], shown["network"]) == (1, 256, "none")
        assert banger.exec(name, "sh", "-c", "echo $GREETING", status=0).text == "good day"
        (port,) = banger.json("vm", "port", "list", name)
        assert port["guest_port"] == 8123
    finally:
        banger.do("vm", "delete", name)


def test_reuse_finds_the_vm_of_the_repository(banger: Installation, top: Path) -> None:
    """H4: the newest that is not somebody else's `--rm`; stopped it is started; never deleted."""
    repositories.write(top, "banger.toml", f"{FILE}reuse = true\n".encode())
    repositories.write(top, "sub/file", b"content\n")
    repositories.commit(top)
    banger.do("trust", top)
    before = {vm["id"] for vm in banger.vms()}
    try:
        made = banger.run("vm", "run", top, "--", "sh", "-c", "echo 1 > mark; hostname", status=0)
        again = banger.run("vm", "run", top / "sub", "--", "sh", "-c", "cat ../mark file; hostname")
        assert (again.status, again.text.split()) == (0, ["1", "content", *made.text.split()])
        assert f"In {made.text}" in again.err
        banger.do("vm", "stop", made.text)
        planned = banger.run("vm", "run", "--dry-run", top, status=0)
        assert f"reuse: {made.text} has this repository" in planned.err
        assert banger.run("vm", "run", "-d", top, status=0).text == made.text
        assert banger.state(made.text) == "running"
        other = banger.run("vm", "run", "--rm", top, "--", "cat", "mark")
        assert other.status == 1
        failed = banger.run("vm", "run", "--reuse", top, "--", "sh", "-c", "exit 3")
        assert (failed.status, banger.state(made.text)) == (3, "running")
        named = banger.run("vm", "run", "--name", "anew", top, "--", "hostname", status=0)
        assert named.text == "anew"
    finally:
        banger.do("vm", "delete", *(v["id"] for v in banger.vms() if v["id"] not in before))
