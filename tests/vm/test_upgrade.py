"""VMs that an older banger started: what a newer one takes over, and what a restart brings them.

The older banger is this one with an agent of protocol version 1: a guest has nothing else of it.
"""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from banger.guest.admission import Lane, plan_shares
from banger.guest.codec import STREAMS_LEAST
from tests.support.agent import build_agent_of_version_1
from tests.support.installations import Installation, finish, read_line
from tests.support.vms import TINY


def make_older_agent(folder: Path) -> Path:
    """Put an agent of protocol version 1 where a daemon finds its agent."""
    built = folder / platform.machine()
    built.mkdir(parents=True)
    build_agent_of_version_1(built)
    return folder


def own_kernels(banger: Installation) -> None:
    """Give the installation kernels of its own: names in them move in this test."""
    shared = banger.layout.kernels.resolve()
    banger.layout.kernels.unlink()
    shutil.copytree(shared, banger.layout.kernels, copy_function=os.link, symlinks=True)


HELD = ("--", "sh", "-c", "echo runs; cat")
"""Says that it runs, and ends with its input."""


def check_that_commands_wait(banger: Installation, vm: str) -> None:
    """C1, H9: more commands than the agent serves wait, and say so; one that ends lets one in."""
    room = plan_shares(STREAMS_LEAST)[Lane.COMMANDS]
    running = []
    for _ in range(room):
        running.append(banger.start("vm", "exec", "-i", vm, *HELD))
        assert read_line(running[-1]) == b"runs\n"
    late = banger.start("vm", "exec", "-i", vm, *HELD)
    assert late.stderr is not None
    assert f"{vm} runs {room} commands" in late.stderr.readline().decode()
    finish(running.pop(), status=0)
    assert read_line(late) == b"runs\n"
    for each in (*running, late):
        finish(each, status=0)


def test_a_restart_brings_the_present_agent(own: Installation, tmp_path: Path) -> None:
    """B11: what runs is adopted with its own agent. Snapshots fit no other kernel, and keep it."""
    own_kernels(own)
    create = ("vm", "create", "--name", "one", *TINY, "--network", "none", "--no-template")
    with own.special_daemon("--agent", str(make_older_agent(tmp_path / "agents"))):
        own.do(*create)
        booted, kernel = own.boot_id("one"), own.vm("one")["kernel_digest"]
        own.exec("one", "sh", "-c", "echo kept >/root/file", status=0)
        check_that_commands_wait(own, "one")
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
    own.do("kernel", "prune")
    kept = {each["digest"] for each in own.json("kernel", "list")}
    assert renewed in kept and kernel not in kept
