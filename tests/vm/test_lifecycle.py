"""Starting, stopping and finding VMs; daemons that come and go (B1, B2, B7, B9, B10)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from banger.host.identity import ProcessIdentity, identify
from tests.support.installations import Installation, finish, wait_for
from tests.support.sampling import choose_size
from tests.support.vms import EACH_DRIVER, TINY

IDLE = ("vm", "create", *TINY, "--network", "none", "--no-start", "--name")


@pytest.fixture
def stranger() -> Iterator[ProcessIdentity]:
    """A process that is none of ours."""
    with subprocess.Popen(["sleep", "7000"]) as process:
        identity = identify(process.pid)
        assert identity is not None
        yield identity
        assert identify(process.pid) == identity, "somebody killed a stranger"
        process.kill()


def test_several_targets(own: Installation) -> None:
    """Verbs take several VMs: the good ones are done, and the status tells of the others."""
    for name in ("one", "two", "three"):
        own.do(*IDLE, name)
    ended = own.run("vm", "delete", "one", "missing", "two", status=4)
    assert "There is no VM missing." in ended.err
    assert [vm["name"] for vm in own.vms()] == ["three"]


def test_names_and_prefixes(own: Installation) -> None:
    """By name, id or prefix; an ambiguous one lists the candidates; a whole name wins."""
    for name in ("calm-otter", "calm-owl", "calm"):
        own.do(*IDLE, name)
    ids = {vm["name"]: vm["id"] for vm in own.vms()}
    for ref in ("calm-ot", ids["calm-otter"], ids["calm-otter"][:8]):
        assert own.vm(ref)["id"] == ids["calm-otter"]
    assert own.vm("calm")["id"] == ids["calm"]
    ended = own.run("vm", "delete", "calm-o", status=2)
    assert "calm-otter" in ended.err and "calm-owl" in ended.err
    assert len(own.vms()) == 3


@EACH_DRIVER
def test_a_life(own: Installation) -> None:
    """Each verb twice, since asking for what is the case already is no error."""
    own.do("vm", "create", "--name", "one", *TINY)
    for verb, state in (("stop", "stopped"), ("start", "running")):
        for _ in range(2):
            own.do("vm", verb, "one")
            assert own.state("one") == state
    own.exec("one", "true", status=0)
    own.do("vm", "kill", "one")
    assert own.state("one") == "stopped"
    assert own.vm_processes() == []
    ended = own.exec("one", "true", status=125)
    assert (
        "is not running (state: stopped)" in ended.err and "hint: banger vm start one" in ended.err
    )
    assert own.do("vm", "prune", "--dry-run").text == own.vm("one")["id"]
    assert own.run("vm", "prune").status == 2, "there is nobody to ask"
    own.do("vm", "prune", "--force")
    assert own.vms() == []


def test_a_guest_that_powers_itself_off(own: Installation) -> None:
    """B5: it is `stopped`, and nothing of it runs on."""
    own.do("vm", "create", "--name", "one", *TINY)
    own.run("vm", "exec", "one", "--", "sh", "-c", "sync; echo o >/proc/sysrq-trigger; sleep 7000")
    wait_for(lambda: own.state("one") == "stopped", "the VM to be stopped")
    assert own.vm_processes() == []
    assert own.json("gc", "--dry-run") == []


@pytest.mark.parametrize("own", ["firecracker"], indirect=True)
def test_a_guest_that_halts_while_no_daemon_runs(own: Installation) -> None:
    """B5, H2: the next daemon finds its kernel's words, whatever came behind them."""
    own.do("vm", "create", "--name", "one", *TINY)
    own.stop_daemon()
    with Path(read_handle(own)["console_log"]).open("a") as console:
        console.write("[ 9.1] reboot: Power down\r\n" + "EXT4-fs (vdb): I/O error\r\n" * 100)
    wait_for(lambda: own.state("one") == "stopped", "the VM to be stopped")
    assert own.vm("one")["error"] is None
    assert own.vm_processes() == []


def test_what_a_guest_is_told(banger: Installation, system: str) -> None:
    """D2 and the network's nameserver: its own name, machine-id and host key."""
    script = "hostname; cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub /etc/resolv.conf"
    lines = banger.exec(system, "sh", "-c", script, status=0).text.split("\n")
    assert lines[0] == system
    assert len(lines[1]) == 32
    vm_id = banger.vm(system)["id"]
    key = banger.layout.vm_host_key(vm_id).with_suffix(".pub").read_text().strip()
    assert lines[2].strip() == key
    assert lines[3] == "nameserver 10.0.2.3"


def test_two_commands_start_one_daemon(own: Installation) -> None:
    """B7: however many ask at once."""
    for _ in range(choose_size(2, 5)):
        asking = [own.start("gc", "--dry-run", "--json") for _ in range(4)]
        assert [json.loads(finish(process, status=0).out) for process in asking] == [[]] * 4
        log = own.layout.daemon_log.read_text()
        pids = {line.split("pid=")[1].split()[0] for line in log.splitlines() if "serves " in line}
        alive = [pid for pid in pids if identify(int(pid)) is not None]
        assert alive == [str(own.daemon_pid())]
        own.kill_daemon()


def test_a_terminal_that_goes_away(own: Installation) -> None:
    """B1: SIGHUP and SIGINT to the session that started all reach neither daemon nor VM."""
    process = own.start("vm", "create", "--name", "one", *TINY)
    finish(process, status=0)
    daemon, vmm = own.daemon_pid(), own.vm("one")["pid"]
    assert daemon is not None
    for pid in (daemon, vmm):
        assert os.getsid(pid) == os.getpgid(pid) != os.getsid(0)
        assert os.getpgid(pid) != process.pid
    boot = own.boot_id("one")
    # Even a hangup of its own ends the daemon in order, and the VM does not care.
    os.kill(daemon, signal.SIGHUP)
    wait_for(lambda: identify(daemon) is None, "the daemon to end")
    assert own.boot_id("one") == boot


def read_handle(own: Installation) -> dict[str, Any]:
    """Return the handle of the only VMM."""
    with own.database() as connection:
        (row,) = connection.execute("SELECT payload FROM handles WHERE kind = 'vmm'").fetchall()
    handle: dict[str, Any] = json.loads(row[0])
    return handle


@EACH_DRIVER
def test_a_handle_that_names_nobody(own: Installation, stranger: ProcessIdentity) -> None:
    """B2, B10: that of another boot, whatever its pid is, and one whose pid is somebody else's."""
    own.do("vm", "create", "--name", "one", *TINY)
    vmm = int(own.vm("one")["pid"])
    own.stop_daemon()
    handle = read_handle(own)
    for process in (handle["process"], handle["monitor"] or {}):
        process["boot_id"] = "00000000-0000-0000-0000-000000000000"
    with own.database() as connection:
        row = (json.dumps(handle).encode(),)
        connection.execute("UPDATE handles SET payload = ? WHERE kind = 'vmm'", row)
    assert own.state("one") == "stopped"
    # In truth there was no reboot, so the VMM is one that no record knows any more.
    wait_for(lambda: identify(vmm) is None, "the unknown VMM to be ended")

    own.stop_daemon()
    start_ticks = stranger.start_ticks - 1
    process = msgspec.to_builtins(stranger) | {"start_ticks": start_ticks}
    payload = json.dumps(handle | {"process": process, "monitor": None}).encode()
    with own.database() as connection:
        connection.execute("UPDATE vms SET state = 'running'")
        values = (handle["vm_id"], "vmm", payload)
        connection.execute("INSERT OR REPLACE INTO handles VALUES (?, ?, ?)", values)
    assert own.state("one") == "stopped"
    own.do("vm", "start", "one")
    own.exec("one", "true", status=0)


DAMAGE = {
    "spec": ["UPDATE vms SET spec = CAST('{\"name\": 5' AS BLOB) WHERE name = :name"],
    "state": ["UPDATE vms SET state = 'dancing' WHERE name = :name"],
    "workspace": ["UPDATE vms SET workspace = CAST('x' AS BLOB) WHERE name = :name"],
    "handle": [
        "UPDATE handles SET payload = CAST('rubbish' AS BLOB)"
        " WHERE vm_id IN (SELECT id FROM vms WHERE name = :name)"
    ],
    "journal": [
        "INSERT INTO operations SELECT 'op-1', 'vm.start', id, 0 FROM vms WHERE name = :name",
        "INSERT INTO journal"
        " VALUES ('op-1', 0, CAST('{\"step\": \"no-such-step\"}' AS BLOB), 'started')",
    ],
}
"""By the name of the VM whose rows it is."""


def test_damaged_rows_are_their_vms_own_trouble(own: Installation) -> None:
    """B9: the daemon starts, the other VM works, and the damaged ones can be deleted."""
    for name in ("good", *DAMAGE):
        own.do("vm", "create", "--name", name, *TINY, "--network", "none")
    own.stop_daemon()
    with own.database() as connection:
        for name, statements in DAMAGE.items():
            for statement in statements:
                assert connection.execute(statement, {"name": name}).rowcount
    assert {vm["name"] for vm in own.vms()} == {"good", *DAMAGE}
    assert own.exec("good", "echo", "fine", status=0).text == "fine"
    for name in DAMAGE:
        own.do("vm", "delete", name)
    assert [vm["name"] for vm in own.vms()] == ["good"]
    own.do("vm", "delete", "good")
    assert own.vm_processes() == []
    assert own.json("gc", "--dry-run") == []


def test_gc_finds_what_has_no_record(own: Installation) -> None:
    """A6: it lists first, removes then, and touches nothing whose name is not of our making."""
    own.do(*IDLE, "one")
    lost = own.layout.vms / "0123456789ab"
    lost.mkdir()
    (lost / "data.img").write_bytes(b"x")
    foreign = own.layout.vms / "my-notes"
    foreign.mkdir()
    for _ in range(2):
        found = own.json("gc", "--dry-run")
        assert [(one["kind"], one["name"]) for one in found] == [("directory", str(lost))]
    assert lost.exists()
    own.do("gc")
    assert not lost.exists() and foreign.exists()
    assert own.state("one") == "created"
    foreign.rmdir()


def test_logs(banger: Installation, system: str) -> None:
    """The console's log and the VMM's, whole and from the daemon."""
    vm_id = banger.vm(system)["id"]
    # A clone has not booted: its console begins with what is written to it now.
    banger.exec(system, "sh", "-c", "echo first >/dev/ttyS0", status=0)
    wait_for(lambda: banger.do("vm", "logs", system).out, "the console's log")
    console = banger.do("vm", "logs", system).out
    assert console and banger.layout.vm_console_log(vm_id).read_bytes().startswith(console)
    banger.do("vm", "logs", "--vmm", system)
    banger.exec(system, "sh", "-c", "echo seen-on-the-console >/dev/ttyS0", status=0)
    process = banger.start("vm", "logs", "--follow", system)
    assert process.stdout is not None
    while b"seen-on-the-console" not in (line := process.stdout.readline()):
        assert line, "the log ended"
    process.send_signal(signal.SIGINT)
    finish(process, status=130)
