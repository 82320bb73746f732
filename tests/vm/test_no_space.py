"""A host whose file system is full (hazard A10).

The first command runs where the state directory is small, and starts the daemon, which stays
there with its VMMs; later commands reach it from outside by its socket.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.installations import DEADLINE_S, Installation, kill_and_wait, wait_for
from tests.support.namespaces import small_filesystem
from tests.support.vms import TINY, take_tiny_template

ON_THE_STAND_IN = pytest.mark.parametrize("own", ["firecracker"], indirect=True)
"""For what does not depend on the driver: its guests boot at once."""


def test_no_space_for_a_vm(own: Installation) -> None:
    """A10, H6: the error says which file system is full; nothing half-made stays."""
    small = small_filesystem(own.layout.state.parent, "1m")
    options = (*TINY, "--network", "none", "--no-start", "--name", "one")
    ended = own.run("vm", "create", *options, "--disk", "64G", prefix=small)
    assert ended.status == 6, ended
    assert "is full" in ended.err and "hint: df -h" in ended.err
    assert own.run("vm", "show", "one").status == 4
    assert own.json("gc", "--dry-run") == []
    assert own.vm_processes() == []


def test_a_guest_that_fills_the_host(own: Installation) -> None:
    """A10: the guest's writes fail, and then it can be talked to as before; so can others."""
    small = small_filesystem(own.layout.state.parent, "40m")
    own.run("vm", "create", *TINY, "--network", "none", "--name", "one", prefix=small, status=0)
    try:
        # Direct: buffered writes to a disk that fails may wait in the kernel for good.
        fill = "dd if=/dev/urandom of=/root/big bs=1M count=200 oflag=direct"
        filled = own.exec("one", "sh", "-c", fill)
        assert filled.status == 1 and "error" in filled.err.lower(), filled
        assert own.exec("one", "echo", "alive", status=0).text == "alive"
        assert own.vm("one")["state"] == "running"
    finally:
        # Also without room for its own journal: deleting is how one gets space back.
        own.do("vm", "delete", "one")
    assert own.vm_processes() == []
    assert own.json("gc", "--dry-run") == []


@ON_THE_STAND_IN
@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_ending_a_vm_on_a_full_host(own: Installation, verb: str) -> None:
    """A10, A1: a VM can be ended without room for a journal, and the answer says what is so."""
    small = small_filesystem(own.layout.state.parent, "40m")
    own.run("vm", "create", *TINY, "--network", "none", "--name", "one", prefix=small, status=0)
    try:
        filler = _fill_state_of_daemon(own)
        ended = own.do("vm", verb, "one")
        assert "is not saved yet" in ended.err
        assert own.vm_processes() == []
        assert [vm["state"] for vm in own.vms()] == ["stopped"]
        assert "is not running (state: stopped)" in own.exec("one", "true", status=125).err
        own.do("vm", verb, "one")
        # What needs room is refused, and for that reason.
        assert "is full" in own.run("vm", "start", "one", status=6).err
        assert own.state("one") == "stopped"
        filler.unlink()
        if verb == "stop":
            own.do("vm", "start", "one")
            assert own.exec("one", "echo", "alive", status=0).text == "alive"
            assert "not saved" not in own.do("vm", "kill", "one").err
            assert own.state("one") == "stopped"
    finally:
        own.do("vm", "delete", "one")
    assert own.vm_processes() == []


@ON_THE_STAND_IN
def test_a_vm_that_ends_by_itself_on_a_full_host(own: Installation) -> None:
    """A10: it is not said to run, and is started again when there is room."""
    small = small_filesystem(own.layout.state.parent, "40m")
    options = (*TINY, "--network", "none", "--name", "one", "--restart", "always")
    own.run("vm", "create", *options, prefix=small, status=0)
    try:
        filler = _fill_state_of_daemon(own)
        died = own.vm("one")["pid"]
        kill_and_wait(died)
        wait_for(lambda: own.state("one") == "error", "its end to be told")
        filler.unlink()
        wait_for(lambda: own.vm("one").get("pid") not in (None, died), "another VMM")
        wait_for(lambda: own.state("one") == "running", "the VM to run again")
        assert own.exec("one", "echo", "alive", status=0).text == "alive"
    finally:
        own.do("vm", "delete", "one")
    assert own.vm_processes() == []


DIES_ON_A_FULL_HOST = """
banger() { "$python" -m banger "$@"; }
banger vm create --quiet --network none --name one "$@" >&2 || exit
! dd if=/dev/zero of="$state/filler" bs=4096 || exit
banger vm kill one
pid_of='import json, sys; print(json.load(sys.stdin)["pid"])'
pid=$(banger daemon status --json | "$python" -c "$pid_of")
kill -9 "$pid"
banger vm list
banger vm start one
rm "$state/filler"
banger vm start one && banger vm exec one -- echo alive
banger vm delete one
"""


@ON_THE_STAND_IN
def test_a_daemon_that_dies_on_a_full_host(own: Installation) -> None:
    """A10, B5: the next daemon finds a record that says `running`, no such VMM, and no room."""
    # One script: with the last process in it the small file system is gone.
    command = ["bash", "-c", DIES_ON_A_FULL_HOST, "bash", *TINY]
    done = subprocess.run(
        [*small_filesystem(own.layout.state.parent, "40m"), *command],
        env=dict(own.environ, python=sys.executable, state=str(own.layout.state)),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done
    assert "is not saved yet" in done.stderr
    [listed] = [line.split() for line in done.stdout.splitlines() if " one " in line]
    assert listed[1:3] == ["one", "stopped"]
    assert done.stderr.count("is full.") == 1
    assert done.stdout.endswith("alive\n")
    assert own.vm_processes() == []


def _fill_state_of_daemon(own: Installation) -> Path:
    """Fill the file system that only the daemon sees to its last byte; return what fills it."""
    state = Path(f"/proc/{own.daemon_pid()}/root{own.layout.state}")
    # The write-ahead log of so young a database only grows: each of its frames needs a new page.
    filler = state / "filler"
    with open(filler, "wb", buffering=0) as file:
        while _can_write(file):
            pass
    return filler


def _can_write(file: io.RawIOBase) -> bool:
    try:
        return file.write(os.urandom(4096)) is not None
    except OSError:
        return False


NO_ROOM_FOR_MEMORY = """
banger() { "$python" -m banger "$@"; }
check() { echo "$1: $("$python" -c "import json, sys; print(len(json.load(sys.stdin)))")"; }
banger vm create --quiet --name one "$@" >&2 || exit
banger vm exec one -- sh -c 'head -c 1M /dev/urandom >/dev/shm/r; sha256sum </dev/shm/r'
banger vm snapshot create one; echo "snapshot $?"
banger vm fork one -n 2; echo "fork $?"
banger template build "$2" "${@:3}" --network none; echo "template $?"
banger vm snapshot list one --json | check snapshots
banger vm list --json | check vms
banger gc --dry-run --json | check leftovers
find "$data/snapshots" "$data/staging" "$data/templates" -mindepth 1 2>/dev/null
banger vm exec one -- sh -c 'sha256sum </dev/shm/r'
banger vm list
banger vm delete one
"""


def test_no_space_for_memory(own: Installation) -> None:
    """A10, A9: a snapshot, forks and a template are refused; nothing of them stays; the VM goes on.

    The state, with the VM's own disk, has room; the data directory, with theirs, has none. What
    is there already lies elsewhere.
    """
    take_tiny_template(own)
    own.stop_daemon()
    data = own.layout.data
    there = {kind: (data / kind).resolve() for kind in ("images", "kernels")}
    there["templates"] = own.layout.templates.rename(data.parent / "templates")
    links = [f"ln -s {path} {data}/{kind}" for kind, path in there.items()]
    script = "; ".join(links) + NO_ROOM_FOR_MEMORY
    done = subprocess.run(
        [*small_filesystem(data, "24m"), "bash", "-c", script, "bash", *TINY],
        env=dict(own.environ, python=sys.executable, data=str(data)),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert lines[1:7] == [
        "snapshot 6",
        "fork 6",
        "template 6",
        "snapshots: 0",
        "vms: 1",
        "leftovers: 0",
    ], done
    assert lines[7] == lines[0], done
    assert " one " in lines[9] and " running " in lines[9], done
    assert done.stderr.count("is full") == 3, done
    assert done.stderr.count("hint: df -h") == 3, done
    assert own.vm_processes() == []
