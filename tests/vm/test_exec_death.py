"""A VMM or a daemon that dies under a command (hazards B11, H2)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.installations import (
    Installation,
    finish,
    kill_and_wait,
    read_exactly,
    read_line,
    wait_for,
)
from tests.support.vms import TINY


@pytest.fixture
def vm(banger: Installation) -> Iterator[str]:
    """A small VM that a test may end."""
    name = banger.do("vm", "create", *TINY).text
    yield name
    banger.do("vm", "delete", name)


def test_the_vmm_dies_under_a_command(banger: Installation, vm: str) -> None:
    """H2: the command ends at once with an error that says so, and the VM is in `error`."""
    process = banger.start("vm", "exec", vm, "--", "sh", "-c", "echo up; exec sleep 7000")
    assert read_line(process) == b"up\n"
    kill_and_wait(int(banger.vm(vm)["pid"]))
    ended = finish(process, status=125)
    assert "The VM ended" in ended.err or "The VM has ended" in ended.err
    assert "hint: banger vm list" in ended.err
    wait_for(lambda: banger.state(vm) == "error", "the VM's state to be error")
    assert banger.vm(vm)["error"].startswith("The VMM was killed")
    assert banger.vm_processes(banger.vm(vm)["id"]) == []
    # H6: the next command says what is the case and what helps.
    ended = banger.exec(vm, "true")
    assert ended.status == 125 and "error" in ended.err and f"banger vm start {vm}" in ended.err


def test_the_daemon_dies_under_a_command(banger: Installation, vm: str) -> None:
    """B11, H2: the client ends with a clear error; the guest goes on; the command is gone."""
    boot = banger.boot_id(vm)
    process = banger.start("vm", "exec", vm, "--", "sh", "-c", "echo up; exec sleep 6999")
    assert read_line(process) == b"up\n"
    banger.kill_daemon()
    ended = finish(process, status=125)
    assert "daemon went away" in ended.err
    assert banger.boot_id(vm) == boot
    wait_for(lambda: not sleepers(banger, vm), "the lost command to be ended")


def test_the_daemon_restarts_under_a_flood(banger: Installation, vm: str) -> None:
    """B11: a connection that is cut in the middle of frames, both ways, can be taken up again."""
    boot = banger.boot_id(vm)
    for _ in range(3):
        process = banger.start("vm", "exec", vm, "--", "sh", "-c", "cat >/dev/null & yes")
        assert read_exactly(process.stdout, 2) == b"y\n"
        banger.kill_daemon()
        finish(process, stdin=bytes(1_000_000), status=125)
        assert banger.boot_id(vm) == boot


def test_an_orderly_restart_keeps_the_guest(banger: Installation, vm: str) -> None:
    """B11: `daemon restart` ends commands, not VMs."""
    boot = banger.boot_id(vm)
    before = banger.daemon_pid()
    banger.do("daemon", "restart")
    assert banger.daemon_pid() != before
    assert banger.boot_id(vm) == boot
    assert banger.state(vm) == "running"


def test_a_vmm_that_dies_while_no_daemon_runs(banger: Installation, vm: str) -> None:
    """B5: the next daemon sees that it is gone; the VM can be started again."""
    pid = int(banger.vm(vm)["pid"])
    banger.stop_daemon()
    kill_and_wait(pid)
    assert banger.state(vm) == "stopped"
    assert banger.vm_processes(banger.vm(vm)["id"]) == []
    assert banger.json("gc", "--dry-run") == []


def sleepers(banger: Installation, vm: str) -> str:
    """Return the guest's `sleep 6999` processes, found without procps."""
    # Brackets, so that neither this shell nor its grep finds itself.
    return banger.exec(vm, "sh", "-c", "grep -l '[6]999' /proc/[0-9]*/cmdline").text
