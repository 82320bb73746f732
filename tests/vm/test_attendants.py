"""Attendants: what goes on for a VM begins with its VMM, and ends with it or with the daemon."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.installations import Installation, wait_for
from tests.support.vms import EACH_DRIVER, TINY


class Attended:
    """The file in which a daemon's attendant says what it does."""

    def __init__(self, banger: Installation, file: Path) -> None:
        self.banger = banger
        self.file = file

    def require(self, vm: str, *expected: str) -> None:
        """Check what was said of a VM since the last time: of the VMMs that it had in turn."""
        vm_id = self.banger.vm(vm)["id"]
        wait_for(lambda: len(self._of(vm_id)) >= len(expected), f"{expected} of {vm}")
        assert self._of(vm_id) == list(expected)
        self.file.write_text("")

    def _of(self, vm_id: str) -> list[str]:
        lines = [line.split() for line in self.file.read_text().splitlines()]
        return [f"{what} {pid}" for said_of, what, pid in lines if said_of == vm_id]


@contextmanager
def attending(banger: Installation, folder: Path) -> Iterator[Attended]:
    """Have a daemon whose attendant can be heard."""
    file = folder / "attended"
    file.touch()
    with banger.special_daemon("--attend", str(file)):
        yield Attended(banger, file)


def pid_of(banger: Installation, vm: str) -> str:
    return str(banger.vm(vm)["pid"])


@pytest.mark.parametrize("own", ["firecracker"], indirect=True)
def test_attendants_follow_the_vmm_of_a_vm(own: Installation, short_dir: Path) -> None:
    """B1, H2: made, stopped, started, paused, killed, put back, dead, restarted, adopted."""
    with attending(own, short_dir) as attended:
        own.do("vm", "create", "--name", "one", *TINY)
        first = pid_of(own, "one")
        attended.require("one", f"begins {first}")
        own.do("vm", "pause", "one")
        own.do("vm", "resume", "one")
        own.do("vm", "snapshot", "create", "one", "early")
        own.do("vm", "stop", "one")
        attended.require("one", f"ends {first}")
        own.do("vm", "start", "one")
        second = pid_of(own, "one")
        own.do("vm", "kill", "one")
        attended.require("one", f"begins {second}", f"ends {second}")
        own.do("vm", "snapshot", "restore", "one", "early")
        third = pid_of(own, "one")
        os.kill(int(third), signal.SIGKILL)
        attended.require("one", f"begins {third}", f"ends {third}")
        own.do("vm", "snapshot", "restore", "one", "early")
        fourth = pid_of(own, "one")
        own.do("vm", "restart", "one")
        fifth = pid_of(own, "one")
        attended.require("one", f"begins {fourth}", f"ends {fourth}", f"begins {fifth}")
    with attending(own, short_dir) as attended:
        # The last daemon's end, and this one's adoption.
        attended.require("one", f"ends {fifth}", f"begins {fifth}")
        own.do("vm", "delete", "one")
        wait_for(lambda: f"ends {fifth}" in attended.file.read_text(), "its end")


@EACH_DRIVER
def test_a_claimed_clone_keeps_its_attendants(own: Installation, short_dir: Path) -> None:
    """C6: they begin when the clone is made, and go on when it gets its user."""
    own.environ |= {"BANGER_TEMPLATE_ENABLED": "on", "BANGER_TEMPLATE_POOL": "1"}
    with attending(own, short_dir) as attended:
        for _ in range(2):  # the first use of a template says nothing yet of a second
            own.do("vm", "run", "--rm", *TINY, "--", "true")
        wait_for(lambda: "paused" in own.prepared().values(), "a clone that waits")
        (waiting,) = own.prepared()
        own.do("vm", "create", "--name", "claimed", *TINY)
        assert own.vm("claimed")["id"] == waiting
        attended.require("claimed", f"begins {pid_of(own, 'claimed')}")
        own.do("vm", "stop", "claimed")
        assert f"{waiting} ends" in attended.file.read_text()
