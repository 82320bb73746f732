"""An installation whose daemon dies where it is told to, and a witness that must not notice.

One daemon is both the one that recovers from the last death and the one that dies next: it is
told where to die when everything is prepared.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from banger.client import Client
from banger.errors import DaemonUnreachable
from tests.support.deaths import arm_death
from tests.support.installations import Installation, wait_for
from tests.support.soundness import require_sound
from tests.support.vms import TINY_IMAGE

SHAPE = {"image": TINY_IMAGE, "memory_mib": 256, "disk_mib": 1024, "vcpu": 1, "network": "none"}
NETWORKED = {**SHAPE, "network": "user"}
FILL = "head -c 64K /dev/urandom | tee /dev/shm/r /srv/r | sha256sum >/dev/shm/sum; sync"
COUNT = (
    "echo >/dev/shm/ticks; "
    "while :; do echo >>/dev/shm/ticks; sleep 1; done >/dev/null 2>&1 </dev/null & "
    "echo $! >/dev/shm/pid"
)
LOOK = (
    "cat /proc/sys/kernel/random/boot_id; cat /dev/shm/sum; sha256sum </dev/shm/r; "
    "sha256sum </srv/r; kill -0 $(cat /dev/shm/pid) && wc -l </dev/shm/ticks"
)


class World:
    """One installation, its present daemon, and the witness."""

    def __init__(self, banger: Installation) -> None:
        self.banger = banger
        self.control = banger.layout.state
        self.client = Client(banger.layout, autostart=False)
        self.recoveries: list[float] = []
        """Seconds from the start of a daemon until it could be connected to."""
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

    def open_daemon(self, *, to_die_at: tuple[str, str] | None = None) -> None:
        """Start the next daemon, and note how long it takes to make things whole.

        `to_die_at`: side and point at which it dies while it does that.
        """
        (self.control / "die").unlink(missing_ok=True)
        if to_die_at is not None:
            arm_death(self.control, *to_die_at)
        self.client.close()
        begun = time.monotonic()
        special = self.banger.special_daemon("--deaths", str(self.control))
        self.daemon = self._stack.enter_context(special)
        self.recoveries.append(time.monotonic() - begun)

    def die(self, side: str, point: str, verb: Callable[[], object]) -> bool:
        """Run a verb whose daemon dies; True if it did."""
        arm_death(self.control, side, point)
        with contextlib.suppress(DaemonUnreachable):
            verb()
        with contextlib.suppress(AssertionError):
            wait_for(lambda: self.daemon.poll() is not None, "the daemon's death", deadline_s=10)
        return self.daemon.poll() is not None

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
def open_world(banger: Installation) -> Iterator[World]:
    """A world with a template and a witness."""
    banger.environ |= {"BANGER_TEMPLATE_ENABLED": "on"}
    os.makedirs(banger.layout.state, mode=0o700, exist_ok=True)
    world = World(banger)
    world.open_daemon()
    try:
        for shape in (SHAPE, NETWORKED):
            world.call("template.build", **shape)
        world.make_witness("witness")
        yield world
    finally:
        world.close()
