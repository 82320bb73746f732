"""VMs in Firecracker that a released banger left, and this one finds, with the stand-in.

The releases are the first one that ran them, whose saved machines fit no more, and one with
networks, sessions and egress policies. As test_released.py: `make test-long RUNS=upgrade`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.support.agent import find_or_build_agent
from tests.support.firecracker.program import write_program
from tests.support.installations import Installation
from tests.support.loopbacks import free_front_port
from tests.support.stand_in import folder_of
from tests.support.stand_in_worlds import HAS_TAPS
from tests.support.vms import TINY, own_kernels
from tests.vm.test_released import WANTED, Released

FIRST, WITH_NETWORKS = "131e655e", "702cedb2"
SHAPE = (*TINY, "--network", "none")
BY_NAME = (*TINY, "--network", "user", "--egress", "allowlist", "--allow", "example.org")
TEMPLATES = ("template", "list", "--json")
SESSION = ("--name", "held", "one", "--", "sh", "-c", "echo begun; exec cat")

pytestmark = [
    pytest.mark.skipif(WANTED not in os.environ, reason=f"{WANTED} is not set"),
    pytest.mark.timeout(900),
    pytest.mark.parametrize("own", ["firecracker"], indirect=True),
]


class Upgrade:
    """An installation, the release that it has first, and the agent of each in new guests."""

    def __init__(self, banger: Installation, folder: Path, release: str) -> None:
        own_kernels(banger)
        for template in banger.layout.templates.iterdir():
            shutil.rmtree(template)
        self.banger, self.old = banger, Released(banger, folder / "tree", release)
        self._agent = folder_of(banger.layout) / "agent-of-now"
        write_program(self._agent.parent, agent=self._agent, version="1.12.1")
        (agent,) = (folder / "tree/src/banger/guest/agent").glob("*/banger-agent")
        self._give(agent)

    def _give(self, agent: Path) -> None:
        os.replace(shutil.copy(agent, self._agent.with_name("next")), self._agent)

    def upgrade(self) -> None:
        """Have this banger from now on."""
        self.old.do("daemon", "stop")
        self._give(find_or_build_agent(self._agent.parent / "built"))

    def check(self) -> None:
        """Check that nothing is left over, and that there was no bug."""
        assert self.banger.json("gc", "--dry-run") == []
        assert not self.banger.layout.reports.exists()


def hear(port: int, server: socket.socket) -> bytes:
    """Return what comes by a published port from a server in the guest."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        with server.accept()[0] as accepted:
            accepted.sendall(b"heard")
        return client.recv(16)


@pytest.mark.parametrize("release", [FIRST, WITH_NETWORKS])
def test_running_vms_are_adopted(own: Installation, tmp_path: Path, release: str) -> None:
    """B11, D5, H6: the same processes; all goes on; what needs a restart says so, and has it."""
    is_first, vms = release == FIRST, Upgrade(own, tmp_path, release)
    vms.old.do("vm", "create", "--name", "one", *SHAPE, "--ttl", "5h")
    for name in ("paused", "saved", "stopped"):
        vms.old.do("vm", "create", "--name", name, *SHAPE)
    vms.old.do("vm", "snapshot", "create", "saved", "early")
    vms.old.do("vm", "fork", "saved", "--name", "fork")
    vms.old.do("vm", "pause", "paused")
    vms.old.do("vm", "stop", "stopped")
    if not is_first:
        vms.old.do("vm", "session", "start", *SESSION)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = free_front_port()
        vms.old.do("vm", "port", "add", "one", f"{port}:{server.getsockname()[1]}")
        processes = own.vm_processes()
        before = {template["key"] for template in json.loads(vms.old.do(*TEMPLATES).out)}
        vms.upgrade()
        states = {vm["name"]: vm["state"] for vm in own.vms()}
        ran = {"one": "running", "saved": "running", "fork-1": "running"}
        assert states == {**ran, "paused": "paused", "stopped": "stopped"}
        assert own.vm_processes() == processes
        assert hear(port, server) == b"heard"
    own.do("vm", "resume", "paused")
    for name in (*ran, "paused"):
        assert own.exec(name, "echo", name, status=0).text == name
    own.do("vm", "pause", "one")
    own.do("vm", "resume", "one")
    if not is_first:
        own.do("vm", "session", "send", "--eof", "one", "held", "end")
        assert own.do("vm", "session", "logs", "-f", "one", "held").text == "begun\nend"

    status = 1 if is_first else 0
    refusals = [
        own.run("vm", "fork", "fork-1", "--name", "other", status=status).err,
        own.run("vm", "snapshot", "create", "one", "late", status=status).err,
        own.run("vm", "snapshot", "restore", "saved", "early", status=status).err,
    ]
    assert all(("another version of banger" in each) == is_first for each in refusals)
    own.do("vm", "create", "--name", "new", *SHAPE)
    assert own.vm("new")["template"] not in before
    assert "keeps the agent of an older banger" in own.do("vm", "restart", "saved").err
    own.do("vm", "snapshot", "delete", "saved", "early")
    own.do("vm", "delete", "fork-1")
    for name in ("one", "paused", "saved", "stopped"):
        own.do("vm", "restart" if name in states else "start", name)
        own.do("vm", "fork", name, "--name", f"{name}-fork")
    own.do("template", "prune")
    vms.check()


@pytest.mark.skipif(not HAS_TAPS, reason="users may not make TAPs here")
def test_networks_are_adopted(own: Installation, tmp_path: Path) -> None:
    """B11, H6: a policy changes at once where the release knows its rules, else at a restart."""
    vms = Upgrade(own, tmp_path, WITH_NETWORKS)
    vms.old.do("vm", "create", "--name", "one", *BY_NAME)
    vms.upgrade()
    assert own.state("one") == "running"
    own.do("vm", "network", "allow", "one", "example.com")
    for change in (("allow", "one", "@python"), ("limit", "one", "10M")):
        refused = own.run("vm", "network", *change, status=5).err
        assert "saved for the next start" in refused and "banger vm restart one" in refused
    own.kill_daemon()
    own.do("vm", "fork", "one", "--name", "fork")
    own.do("vm", "restart", "one")
    shown = own.do("vm", "network", "show", "one").text.splitlines()
    assert shown[:3] == ["allow @python", "allow example.com", "allow example.org"]
    for name in ("one", "fork-1"):
        own.do("vm", "network", "allow", name, "@go")
        assert own.json("vm", "network", "logs", name) == []
    vms.check()
