"""What becomes of a VM by itself: its time is over, nobody uses it, it dies, its clock is wrong."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.installations import Installation, finish, kill_and_wait, wait_for
from tests.support.vms import EACH_DRIVER, TINY

LOCAL = (*TINY, "--network", "none")


def pid(own: Installation, name: str) -> int:
    return int(own.vm(name)["pid"])


def test_a_vm_that_nobody_uses_is_stopped(own: Installation) -> None:
    """One that is in use goes on, however long that is."""
    own.environ["BANGER_AUTO_STOP_AFTER"] = "4s"
    own.do("vm", "run", "--name", "one", *LOCAL, "--ttl", "1h", "--", "sleep", "5")
    wait_for(lambda: own.state("one") == "stopped", "the VM to be stopped")
    assert own.vm("one")["notice"] == "It was idle for 4s."
    log = own.layout.daemon_log.read_text()
    assert "It will be stopped in" in log and ": It was idle for 4s." in log


def test_a_time_to_live_outlives_the_daemon(own: Installation) -> None:
    """B5: what counts is when the VM was started; with --rm it is deleted."""
    command = ("sh", "-c", "echo on; sleep 7000")
    running = own.start("vm", "run", "--rm", *LOCAL, "--ttl", "2s", "--name", "two", "--", *command)
    own.do("vm", "create", "--name", "one", *LOCAL, "--ttl", "4s")
    finish(running, status=125)
    own.kill_daemon()
    wait_for(lambda: own.state("one") == "stopped", "the VM to be stopped")
    assert [vm["name"] for vm in own.vms()] == ["one"]
    assert own.vm("one")["notice"] == "Its time to live of 4s expired."


@pytest.mark.parametrize("own", ["firecracker"], indirect=True)
def test_a_restart_begins_the_time_to_live(own: Installation) -> None:
    """It is counted from each start, as for a stop and a start."""
    own.do("vm", "create", "--name", "one", *LOCAL, "--ttl", "1h")

    def started() -> bytes:
        with own.database() as connection:
            (row,) = connection.execute("SELECT payload FROM handles WHERE kind = 'lifetime'")
            return bytes(row[0])

    first = started()
    own.do("vm", "restart", "one")
    assert started() != first


@EACH_DRIVER
def test_a_vm_that_dies_is_started_again(own: Installation) -> None:
    """B10: also when no daemon saw it; and what its user stops stays so."""
    own.do("vm", "create", "--name", "one", *LOCAL, "--restart", "on-failure", "--ttl", "1h")
    listed = own.do("vm", "list").text
    assert "running (" in listed and "left)" in listed
    died = pid(own, "one")
    kill_and_wait(died)
    # Whoever looks at once sees it run still.
    wait_for(lambda: own.vm("one").get("pid") not in (None, died), "another VMM")
    wait_for(lambda: own.state("one") == "running", "the VM to run again")
    vmm = pid(own, "one")
    own.stop_daemon()
    kill_and_wait(vmm)
    wait_for(lambda: own.vm("one")["busy"] == "vm.start_again", "the next start")
    # It is in the middle of it, and its user wants it to end.
    own.do("vm", "stop", "one")
    assert own.state("one") == "stopped"
    own.stop_daemon()
    assert own.state("one") == "stopped"
    assert own.json("gc", "--dry-run") == []
    with own.database() as connection:
        assert connection.execute("SELECT * FROM handles").fetchall() == []


def test_a_guests_clock_is_kept_right_and_its_silence_seen(own: Installation) -> None:
    """D1, D4."""
    with own.special_daemon("--ask-every", "0.5"):
        own.do("vm", "create", "--name", "one", *LOCAL)
        own.exec("one", "date", "-s", "2020-01-01", status=0)

        def is_right() -> bool:
            guest = float(own.exec("one", "date", "+%s.%N", status=0).text)
            return abs(guest - time.time()) < 5

        wait_for(is_right, "the clock to be set")
        wait_for(lambda: own.vm("one")["health"] == "ok", "an answer")
        vmm = pid(own, "one")
        os.kill(vmm, signal.SIGSTOP)
        try:
            wait_for(lambda: own.vm("one")["health"] == "no-answer", "its silence to be seen")
            assert "running (silent)" in own.do("vm", "list").text
        finally:
            os.kill(vmm, signal.SIGCONT)
        wait_for(lambda: own.vm("one")["health"] == "ok", "an answer")
        log = own.layout.daemon_log.read_text()
        # Once for each time that it is silent: on a loaded machine it is by itself, too.
        assert log.count("does not answer.") == log.count("answers again.") >= 1
        own.delete_all()


def test_memory_that_the_host_does_not_have(own: Installation) -> None:
    """C7: refused before anything exists, with what there is; no core holds a guest's memory."""
    refused = own.run("vm", "create", "--name", "big", *LOCAL, "--memory", "1024G", status=6)
    assert "1 TiB of memory is needed; the host has" in refused.err
    assert "--force" in refused.err
    assert own.vms() == []
    # What counts is what it is to boot with: it was given more while it ran.
    own.do("vm", "create", "--name", "grown", *LOCAL)
    own.do("vm", "set", "grown", "--memory", "1024G")
    refused = own.run("vm", "restart", "grown", status=6)
    assert "1 TiB of memory is needed" in refused.err
    assert own.state("grown") == "running"
    own.do("vm", "stop", "grown")
    refused = own.run("vm", "start", "grown", status=6)
    assert "1 TiB of memory is needed" in refused.err
    assert own.state("grown") == "stopped"
    own.do("vm", "delete", "grown")
    daemon = own.daemon_pid()
    limits = Path(f"/proc/{daemon}/limits").read_text().splitlines()
    (core,) = [line.split() for line in limits if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"]
