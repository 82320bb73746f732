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
