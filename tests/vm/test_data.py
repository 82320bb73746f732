"""What a guest has written survives `stop`, however unwilling the guest is (hazards A1, A2)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.disks import is_removed, read_disk
from tests.support.installations import Installation, finish, wait_for
from tests.support.vms import TINY

LINES = 500_000
"""Of two files: all of them in the guest's memory until the stop."""
SLOW_MIB = 200
"""Takes longer to write than the deadline allows."""

HOLD_BACK = (
    # Nothing may be written back by itself meanwhile: it is the stop that must do it.
    "for k in dirty_ratio dirty_background_ratio; do echo 95 >/proc/sys/vm/$k; done;"
    "for k in dirty_expire dirty_writeback; do echo 360000 >/proc/sys/vm/${k}_centisecs; done;"
)


@pytest.fixture
def small(banger: Installation) -> Iterator[str]:
    name = banger.do("vm", "create", *TINY).text
    yield name
    banger.do("vm", "delete", name)


def test_unflushed_writes_survive_a_stop(banger: Installation, small: str) -> None:
    """A1: what nobody synced, in the overlay and on the data disk, is there afterwards."""
    write = (
        f"{HOLD_BACK} mkdir -p /srv/deep; seq {LINES} >/root/seed; cp /root/seed /srv/deep/file;"
        "mv /srv/deep/file /srv/deep/renamed; rm /etc/issue; ln -s deep /srv/link"
    )
    banger.exec(small, "sh", "-c", write, status=0)
    stopped = banger.do("vm", "stop", small)
    assert "not confirm" not in stopped.err
    written = "".join(f"{n}\n" for n in range(1, LINES + 1))
    for path in ("/root/seed", "/srv/link/renamed"):
        is_there = read_disk(banger, small, path) == written
        assert is_there, path
    assert is_removed(banger, small, "/etc/issue")


def test_a_guest_that_ignores_the_shutdown(banger: Installation, system: str) -> None:
    """A2: after the deadline it is ended, and its writes are there all the same."""
    name = banger.do("vm", "create").text
    try:
        service = (
            "[Service]\\nExecStart=/bin/sleep infinity\\nExecStop=/bin/sleep 7000\\n"
            "TimeoutStopSec=7000\\nKillMode=none\\n"
        )
        script = (
            f"printf '{service}' >/run/systemd/system/stubborn.service;"
            "systemctl daemon-reload && systemctl start stubborn && echo written >/root/late"
        )
        banger.exec(name, "sh", "-c", script, status=0)
        ended = banger.do("vm", "stop", "--timeout", "3s", name)
        assert "context" not in ended.err
        assert read_disk(banger, name, "/root/late") == "written\n"
    finally:
        banger.do("vm", "delete", name)


def test_a_guest_whose_agent_does_not_answer(own: Installation) -> None:
    """A1, A2: no flush can be confirmed, and the result says so; the VM is ended all the same."""
    name = own.do("vm", "create", *TINY).text
    # The command's parent is the agent.
    script = "kill -STOP $PPID; echo still >/dev/ttyS0"
    stopper = own.start("vm", "exec", name, "--", "sh", "-c", script)
    wait_for(lambda: b"still" in own.do("vm", "logs", name).out, "the agent to stand still")
    ended = own.do("vm", "stop", "--timeout", "1s", name)
    assert "did not confirm" in ended.err
    finish(stopper, status=125)
    assert own.state(name) == "stopped"
    assert own.vm_processes() == []


def test_a_flush_that_takes_longer_than_the_deadline(banger: Installation, system: str) -> None:
    """A1, A2: the flush has its share of the user's deadline and no more, and the user is told."""
    name = banger.do("vm", "create").text
    try:
        script = (
            f"{HOLD_BACK} echo kept >/root/kept; sync; head -c 2M /dev/urandom >/root/seed;"
            f"cat $(yes /root/seed | head -n {SLOW_MIB // 2}) >/root/late"
        )
        banger.exec(name, "sh", "-c", script, status=0)
        ended = banger.do("vm", "stop", "--timeout", "0.05s", name)
        assert "did not confirm" in ended.err
        assert read_disk(banger, name, "/root/kept") == "kept\n"
    finally:
        banger.do("vm", "delete", name)


def test_killed_is_not_flushed_but_consistent(banger: Installation, small: str) -> None:
    """A1: `kill` pulls the plug: what was synced is there, and the file system is whole."""
    banger.exec(small, "sh", "-c", "echo kept >/root/kept; sync", status=0)
    banger.do("vm", "kill", small)
    assert read_disk(banger, small, "/root/kept") == "kept\n"
