"""VMs that an older banger started: what a newer one takes over, and what a restart brings them.

The older banger is this one with an agent of protocol version 1: a guest has nothing else of it.
"""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path

import pytest

from banger.guest.admission import Lane, plan_shares
from banger.guest.codec import STREAMS_LEAST
from tests.support.agent import build_agent_of_version_1, find_or_build_agent
from tests.support.firecracker.program import write_program
from tests.support.installations import Installation, finish, read_line
from tests.support.stand_in import folder_of
from tests.support.vms import TINY, own_kernels


@pytest.fixture(scope="module")
def older_agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent of protocol version 1, below where a daemon finds its agent."""
    built = tmp_path_factory.mktemp("agents") / platform.machine()
    built.mkdir()
    return Path(shutil.copy(build_agent_of_version_1(), built))


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


EARLY = ("snapshot", "create", "one", "early")


def create_with(own: Installation, older_agent: Path, *commands: tuple[str, ...]) -> str:
    """Create `one` with the older agent, run commands of `vm`, and return its kernel."""
    own_kernels(own)
    with own.special_daemon("--agent", str(older_agent.parents[1])):
        own.do("vm", "create", "--name", "one", *TINY, "--network", "none", "--no-template")
        for command in commands:
            own.do("vm", *command)
        return str(own.vm("one")["kernel_digest"])


def test_a_restart_brings_the_present_agent(own: Installation, older_agent: Path) -> None:
    """B11: what runs is adopted with its own agent, and so is a snapshot."""
    write = ("exec", "one", "--", "cp", "/proc/sys/kernel/random/boot_id", "/root/file")
    kernel = create_with(own, older_agent, write, EARLY)
    booted = own.exec("one", "cat", "/root/file", status=0).text
    assert (own.boot_id("one"), own.vm("one")["kernel_digest"]) == (booted, kernel)
    own.do("vm", "snapshot", "restore", "one", "early")
    assert own.boot_id("one") == booted
    own.do("vm", "snapshot", "delete", "one", "early")

    assert "older banger" not in own.do("vm", "restart", "one").err
    renewed = own.vm("one")["kernel_digest"]
    assert renewed != kernel
    assert own.boot_id("one") != own.exec("one", "cat", "/root/file", status=0).text == booted
    shown = {each["digest"]: each["current"] for each in own.json("kernel", "list")}
    assert shown[renewed] is True and shown[kernel] is False
    own.do("kernel", "prune")
    kept = {each["digest"] for each in own.json("kernel", "list")}
    assert renewed in kept and kernel not in kept


@pytest.mark.parametrize("own", ["firecracker"], indirect=True)
def test_snapshots_keep_the_older_agent(own: Installation, older_agent: Path) -> None:
    """B11: they fit no other kernel."""
    kernel = create_with(own, older_agent, EARLY)
    kept = own.do("vm", "restart", "one").err
    assert "keeps the agent of an older banger" in kept and "snapshot list one" in kept
    assert own.vm("one")["kernel_digest"] == kernel
    own.do("vm", "snapshot", "restore", "one", "early")
    assert own.exec("one", "echo", "on", status=0).text == "on"
    own.do("vm", "snapshot", "delete", "one", "early")
    assert "older banger" not in own.do("vm", "restart", "one").err
    assert own.vm("one")["kernel_digest"] != kernel


SINCE = {"console_log", "fingerprint"}
"""What of a handle the first bangers that ran VMs in Firecracker did not have, or not as now."""


@pytest.mark.parametrize("own", ["firecracker"], indirect=True)
def test_a_firecracker_of_an_older_banger_goes_on(own: Installation, older_agent: Path) -> None:
    """B11, D5: the same process; it is paused and saved, after a restart also forked."""
    folder = folder_of(own.layout)
    write_program(folder, agent=older_agent, version="1.12.1")
    own.do("vm", "create", "--name", "one", *TINY)
    check_that_commands_wait(own, "one")
    processes = own.vm_processes()
    own.stop_daemon()
    with own.database() as database:
        ((row,),) = database.execute("SELECT payload FROM handles WHERE kind = 'vmm'").fetchall()
        older = {name: value for name, value in json.loads(row).items() if name not in SINCE}
        database.execute(
            "UPDATE handles SET payload = ? WHERE kind = 'vmm'", (json.dumps(older).encode(),)
        )
    write_program(folder, agent=find_or_build_agent(folder / "agent"), version="1.12.1")
    assert own.exec("one", "echo", "on", status=0).text == "on"
    own.do("vm", "pause", "one")
    own.do("vm", "resume", "one")
    assert own.vm_processes() == processes
    for command in (("fork", "one"), ("snapshot", "create", "one")):
        assert "banger vm restart one" in own.run("vm", *command, status=1).err
    own.do("vm", "restart", "one")
    own.do("vm", "fork", "one", "--name", "fork")
    assert own.exec("fork-1", "echo", "on", status=0).text == "on"


@pytest.mark.parametrize("own", ["firecracker"], indirect=True)
def test_vms_outlive_the_program_of_their_vmm(own: Installation) -> None:
    """B5, B11: what needs the program says so and ends no VM; all else works."""
    program = folder_of(own.layout) / "firecracker"
    for name in ("one", "two", "three"):
        own.do("vm", "create", "--name", name, *TINY)
    own.do("vm", "snapshot", "create", "two", "early")
    own.do("vm", "pause", "three")
    processes = own.vm_processes()
    own.stop_daemon()
    program.rename(program.with_name("uninstalled"))
    own.do("vm", "resume", "three")
    for command in (
        ("fork", "one"),
        ("restart", "one"),
        ("snapshot", "create", "one"),
        ("snapshot", "restore", "two", "early"),
    ):
        assert str(program) in own.run("vm", *command, status=6).err, command
    assert own.vm_processes() == processes
    for name in ("one", "two", "three"):
        assert own.exec(name, "echo", name, status=0).text == name
    own.do("vm", "stop", "one")
    own.do("vm", "kill", "two")
    own.do("vm", "delete", "three")
    assert own.vm_processes() == []
    program.with_name("uninstalled").rename(program)
    own.do("vm", "start", "one")
