"""An installation whose daemon dies where it is told to, and a witness that must not notice.

One daemon is both the one that recovers from the last death and the one that dies next: it is
told where to die when everything is prepared.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from banger.client import Client
from banger.errors import BangerError, DaemonUnreachable
from tests.support.deaths import arm_death, disarm
from tests.support.disks import read_disk
from tests.support.installations import Installation, wait_for
from tests.support.soundness import require_sound
from tests.support.vms import TINY_IMAGE, building

SHAPE = {"image": TINY_IMAGE, "memory_mib": 256, "disk_mib": 1024, "vcpu": 1, "network": "none"}
NETWORKED = {**SHAPE, "network": "user"}
FILL = "head -c 64K /dev/urandom | tee /dev/shm/r /srv/r | sha256sum >/dev/shm/sum; sync"
COUNT = (
    "echo >/dev/shm/ticks; "
    "while :; do echo >>/dev/shm/ticks; sleep 1; done >/dev/null 2>&1 </dev/null & "
    "echo $! >/dev/shm/pid"
)
LOOK = (
    "for file in /proc/sys/kernel/random/boot_id /dev/shm/sum; do read line <$file; "
    'echo "$line"; done; sha256sum </dev/shm/r; sha256sum </srv/r; '
    "read pid </dev/shm/pid && kill -0 $pid && wc -l </dev/shm/ticks"
)
"""Starts few programs: an emulated guest takes long for each."""


class Killed(NamedTuple):
    """What became of a verb during which a VMM was to be killed."""

    pid: int | None
    """None: there was no VMM."""
    error: BangerError | None
    said: str
    """What the verb has told meanwhile."""


class World:
    """One installation, its present daemon, and the witness."""

    driver = "qemu"
    networked = NETWORKED
    """A VM with a network, where the VMM can have one."""

    def __init__(self, banger: Installation) -> None:
        self.banger = banger
        self.control = banger.layout.state
        self.client = Client(banger.layout, autostart=False)
        self.recoveries: list[float] = []
        """Seconds from the start of a daemon until it could be connected to."""
        self.entrypoint_image: str | None = None
        """Of whoever has imported one."""
        self.written = ""
        """What the last test has written into a guest."""
        self._stack = contextlib.ExitStack()
        self._seen: dict[str, tuple[list[str], int]] = {}

    def call(self, method: str, **params: Any) -> Any:
        return self.client.call(method, params)

    def exec(self, ref: str, script: str) -> str:
        """Run a shell line in a guest and return what it said."""
        stream = self.client.stream("vm.exec", {"ref": ref, "argv": ["/bin/sh", "-c", script]})
        try:
            return b"".join(data for _, data in stream).decode()
        finally:
            stream.close()

    def open_daemon(self) -> None:
        """Start the next daemon, and note how long it takes to make things whole."""
        disarm(self.control)
        begun = time.monotonic()
        self._start_daemon()
        self.recoveries.append(time.monotonic() - begun)

    def _start_daemon(self) -> None:
        self.client.close()
        special = self.banger.special_daemon("--deaths", str(self.control))
        self.daemon = self._stack.enter_context(special)

    def stop_daemon(self) -> None:
        """End the daemon in an orderly way."""
        self.daemon.terminate()
        self.daemon.wait(60)

    def use_pool(self, size: int) -> None:
        """Have a daemon that keeps a pool of this size."""
        before = self.banger.environ.get("BANGER_TEMPLATE_POOL")
        self.banger.environ["BANGER_TEMPLATE_POOL"] = str(size)
        if before != str(size):
            self.stop_daemon()
        if self.daemon.poll() is not None:
            self.open_daemon()

    def die(self, side: str, point: str, verb: Callable[[], object], *, times: int = 1) -> bool:
        """Run a verb whose daemon dies when it is at a point so often; True if it did."""
        arm_death(self.control, side, point, times=times)
        with contextlib.suppress(DaemonUnreachable):
            verb()
        return self._has_died()

    def die_recovering(self, side: str, point: str) -> bool:
        """Start a daemon that dies while it recovers, or behind the open door; True if it did."""
        arm_death(self.control, side, point)
        self._start_daemon()
        return self._has_died(deadline_s=120)  # behind the door a guest may be booted first

    def _has_died(self, *, deadline_s: float = 10) -> bool:
        with contextlib.suppress(AssertionError):
            wait_for(
                lambda: self.daemon.poll() is not None, "the daemon's death", deadline_s=deadline_s
            )
        return self.daemon.poll() == -signal.SIGKILL

    def kill_vmm(self, side: str, point: str, method: str, **params: Any) -> Killed:
        """Run a verb during which the youngest VMM dies, unless that is the witness's."""
        said: list[str] = []

        def listen(kind: str, content: dict[str, Any]) -> None:
            if kind == "note":
                said.append(str(content))

        spared = [vm["pid"] for vm in self.vms() if vm["name"] == "witness"]
        arm_death(self.control, side, point, victim="vmm", spared=spared)
        error = None
        try:
            self.client.call(method, params, on_event=listen)
        except BangerError as failure:
            error = failure
        killed = self.control / "killed"
        assert killed.exists(), f"the daemon did not get to {point}: {error}"
        pid = int(killed.read_text() or 0) or None
        return Killed(pid=pid, error=error, said="\n".join(said))

    def recorded(self, verb: Callable[[], object]) -> list[str]:
        """Return the transactions of a verb that runs to its end."""
        points = self.control / "points"
        points.write_text("")
        verb()
        return points.read_text().splitlines()

    def settle(self) -> None:
        """Return when what recovery does behind the open door is done, and all is sound."""

        def settled() -> bool:
            busy = [vm for vm in self.vms() if vm["busy"] or vm["state"] == "stopping"]
            return not busy and not list(self.banger.layout.scratch.glob("*"))

        wait_for(settled, "recovery to end")
        require_sound(self.client, self.banger.layout)

    def vms(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("vm.list")
        return found

    def states(self) -> dict[str, str]:
        """Return the state of each VM but the witness, by name."""
        return {vm["name"]: vm["state"] for vm in self.vms() if vm["name"] != "witness"}

    def delete_others(self) -> None:
        for name in self.states():
            self.call("vm.delete", ref=name)

    # --- guests that must go on ---

    def make_witness(self, name: str) -> None:
        """Make a VM with data in memory and on disk, and a program that counts."""
        self.call("vm.create", **SHAPE, name=name)
        self.exec(name, f"{FILL}; {COUNT}")
        self.forget(name)

    def require_unharmed(self, name: str) -> None:
        """Check that a guest still is the one it was, with all that it had, and counts on.

        That it answers says that time passes in it; the counter must be what it was, or more.
        """
        lines = self.exec(name, LOOK).split("\n")
        facts, ticks = lines[:4], int(lines[4])
        assert facts[1] == facts[2] == facts[3], facts
        known, counted = self._seen.setdefault(name, (facts, 0))
        assert facts == known, f"{name} is another guest: {facts} {known}"
        assert ticks >= counted, f"{name} has gone back"
        self._seen[name] = (facts, ticks)

    def require_answers(self, name: str) -> None:
        """Check that a guest answers, by the VM's name."""
        assert self.exec(name, "cat /proc/sys/kernel/hostname") == f"{name}\n"

    def write_line(self, name: str, line: str) -> None:
        """Have a guest write a line that it has not flushed."""
        self.exec(name, f"echo {line} >>/srv/log")

    def read_last_line(self, name: str) -> str:
        """Return what was written last; of a guest that has ended, from its disk."""
        if self.states()[name] == "running":
            return self.exec(name, "tail -n 1 /srv/log").strip()
        return read_disk(self.banger, name, "/srv/log").splitlines()[-1]

    def measure_disk_mib(self, name: str) -> int:
        """Return the size of a guest's disk, less what its file system takes."""
        return int(self.exec(name, "df -m /srv | tail -n 1").split()[1])

    def change(self, name: str) -> None:
        """Change a guest's memory and its disk."""
        self.exec(name, "echo late >/dev/shm/late; echo late >/srv/late")

    def require_one_moment(self, name: str) -> None:
        """Check that a guest's memory and disk have changed, or neither has."""
        late = self.exec(name, "cat /dev/shm/late /srv/late 2>/dev/null")
        assert late in ("", "late\nlate\n"), "memory and disk are not of one moment"

    def forget(self, name: str) -> None:
        """Expect another guest, or an earlier moment of it, the next time."""
        self._seen.pop(name, None)

    def close(self) -> None:
        try:
            if self.daemon.poll() is None:
                for vm in self.vms():
                    self.call("vm.delete", ref=vm["id"])
        finally:
            self.client.close()
            self._stack.close()


@contextlib.contextmanager
def open_world(world: World, *shapes: dict[str, Any]) -> Iterator[World]:
    """A world with a witness, and templates of its shape and of these."""
    banger = world.banger
    os.makedirs(banger.layout.state, mode=0o700, exist_ok=True)
    world.open_daemon()
    try:
        with building(banger):
            for shape in shapes:
                world.call("template.build", **shape)
            world.make_witness("witness")
        yield world
    finally:
        world.close()
