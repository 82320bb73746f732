"""A world of Firecracker's VMs: its stand-in, so that no KVM is needed.

What a death leaves of a VM's process, sockets, links and saved files is each driver's own. A guest
here is the agent as a process of this host, so its files would be this host's: what is said to be
written by a guest is written to the VM's data disk from outside.
"""

from __future__ import annotations

import os
from pathlib import Path

from banger.vmm.tap import DEVICE
from tests.support.worlds import NETWORKED, SHAPE, World

MIB = 1024 * 1024
HAS_TAPS = os.access(DEVICE, os.R_OK | os.W_OK)
"""Its VMs have networks where users may make TAPs."""
DATA, LINE, LATE = (100 * MIB + place for place in (0, 4096, 8192))
"""Where on the data disk what is written: in none of its file system's own blocks."""
WIDTH = 64


class StandInWorld(World):
    """A daemon that takes the stand-in for Firecracker on a host with KVM."""

    driver = "firecracker"
    networked = NETWORKED if HAS_TAPS else SHAPE

    def make_witness(self, name: str) -> None:
        """Make a VM with data on its disk."""
        assert self.call("vm.create", **SHAPE, name=name)["driver"] == self.driver
        self._write(name, DATA, os.urandom(WIDTH))
        self.forget(name)

    def require_unharmed(self, name: str) -> None:
        """Check that a guest answers, and has its data."""
        self.require_answers(name)
        found = [self._read(name, DATA).hex()]
        known, _ = self._seen.setdefault(name, (found, 0))
        assert found == known, f"{name} has another disk"

    def require_answers(self, name: str) -> None:
        """Check that a guest answers; its name is this host's."""
        said = self.exec(name, "echo here")
        assert said == "here\n", f"{name} said {said!r}"

    def write_line(self, name: str, line: str) -> None:
        self._write(name, LINE, line.encode().ljust(WIDTH))

    def read_last_line(self, name: str) -> str:
        return self._read(name, LINE).decode().strip()

    def measure_disk_mib(self, name: str) -> int:
        return self._find_disk(name).stat().st_size // MIB

    def change(self, name: str) -> None:
        """Change a guest's disk; its memory changes whenever it goes on."""
        self._write(name, LATE, b"late".ljust(WIDTH))

    def require_one_moment(self, name: str) -> None:
        """Check that a guest's disk is of some moment; which one its memory is of it cannot say."""
        found = self._read(name, LATE).strip()
        assert found in (bytes(WIDTH), b"late"), f"{name} has {found!r} on its disk"

    def _find_disk(self, name: str) -> Path:
        return self.banger.layout.vm_data_disk(self.call("vm.show", ref=name)["id"])

    def _write(self, name: str, place: int, data: bytes) -> None:
        with open(self._find_disk(name), "r+b") as disk:
            disk.seek(place)
            disk.write(data)

    def _read(self, name: str, place: int) -> bytes:
        with open(self._find_disk(name), "rb") as disk:
            disk.seek(place)
            return disk.read(WIDTH)
