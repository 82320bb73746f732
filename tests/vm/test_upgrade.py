"""VMs that an older banger started: what a newer one takes over, and what a restart brings them.

The older banger is this one with another agent, which is all that a guest has of it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from banger.engine.verbs.kernels import AGENT_FOLDER
from tests.support.installations import Installation
from tests.support.vms import TINY


def make_older_agent(folder: Path) -> Path:
    """Copy the agents, each with one byte more, which none of them reads."""
    shutil.copytree(AGENT_FOLDER, folder)
    for agent in folder.glob("*/banger-agent"):
        agent.chmod(0o755)
        with open(agent, "ab") as file:
            file.write(b"\n")
    return folder


def own_kernels(banger: Installation) -> None:
    """Give the installation kernels of its own: names in them move in this test."""
    shared = banger.layout.kernels.resolve()
    banger.layout.kernels.unlink()
    shutil.copytree(shared, banger.layout.kernels, copy_function=os.link, symlinks=True)


def test_a_restart_brings_the_present_agent(own: Installation, tmp_path: Path) -> None:
    """B11: what runs is adopted with its own agent. Snapshots fit no other kernel, and keep it."""
    own_kernels(own)
    create = ("vm", "create", "--name", "one", *TINY, "--network", "none", "--no-template")
    with own.special_daemon("--agent", str(make_older_agent(tmp_path / "agents"))):
        own.do(*create)
        booted, kernel = own.boot_id("one"), own.vm("one")["kernel_digest"]
        own.exec("one", "sh", "-c", "echo kept >/root/file", status=0)
        own.do("vm", "snapshot", "create", "one", "early")
    assert (own.boot_id("one"), own.vm("one")["kernel_digest"]) == (booted, kernel)
    kept = own.do("vm", "restart", "one").err
    assert "keeps the agent of an older banger" in kept and "snapshot list one" in kept
    assert own.vm("one")["kernel_digest"] == kernel
    own.do("vm", "snapshot", "restore", "one", "early")
    assert own.boot_id("one") == booted
    own.do("vm", "snapshot", "delete", "one", "early")

    assert "older banger" not in own.do("vm", "restart", "one").err
    renewed = own.vm("one")["kernel_digest"]
    assert renewed != kernel
    assert own.exec("one", "cat", "/root/file", status=0).text == "kept"
    shown = {each["digest"]: each["current"] for each in own.json("kernel", "list")}
    assert shown[renewed] is True and shown[kernel] is False
    own.do("vm", "stop", "one")
    own.do("kernel", "prune")
    own.do("vm", "start", "one")
    assert own.vm("one")["kernel_digest"] == renewed
    assert kernel not in {each["digest"] for each in own.json("kernel", "list")}
