"""A daemon's sudden death at a named point of its journal.

Every durable fact goes through `Database.write`, and each step's effects lie between two of its
calls; so to die before and after each transaction is to die between any two steps, and
between a step and its record (hazards B4, B5). "Before" is inside the transaction, when all of
its statements have run: it is the COMMIT that does not come. "After" is when it is durable and
nobody has been told.

A point's name says what the transaction writes: `vm.stop 2 end-vmm started`, `vm.stop end`,
`save vmm handle`; one that writes nothing of the kind is a `record`. In the control directory,
`points` gets the name of each transaction, one a line; `die` names who is to die, the daemon or the
youngest VMM, and the side and the point at which, when it is reached the next time, or a later one.
`killed` says which VMM it was. `calldeaths.py` adds points that are no transactions.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import msgspec

from banger import store
from banger.host.identity import send_signal
from banger.layout import layout_from_environment
from banger.store import Database
from tests.support.leftovers import find_leftovers

SIDES = ("before", "after")
PROCESSES = ("vmm", "network")
"""Kinds of handles that are of processes; others are part of an outcome."""
VMMS = ("qemu-", "firecracker")
"""What the names of the programs begin with."""
Victim = Literal["daemon", "vmm"]


class Facts:
    """What the transaction in progress writes; one thread writes."""

    def __init__(self) -> None:
        self.methods: dict[str, str] = {}
        self.names: list[str] = []

    def begin_operation(self, _: Any, operation: str, method: str, *__: Any, **___: Any) -> None:
        self.methods[operation] = method
        self.names.append(f"{method} begin")

    def record_step(
        self, _: Any, operation: str, number: int, step: bytes, status: str, *__: Any
    ) -> None:
        tag = msgspec.json.decode(step)["step"]
        self.names.append(f"{self.methods.get(operation, '?')} {number} {tag} {status}")

    def end_operation(self, _: Any, operation: str) -> None:
        self.names.append(f"{self.methods.get(operation, '?')} end")

    def save_handle(self, _: Any, __: str, kind: str, ___: bytes) -> None:
        if kind in PROCESSES:
            self.names.append(f"save {kind} handle")

    def delete_handle(self, _: Any, __: str, kind: str) -> None:
        if kind in PROCESSES:
            self.names.append(f"delete {kind} handle")

    def update_workspace(self, *_: Any) -> None:
        self.names.append("workspace")

    def take(self) -> str:
        """Return the name of the transaction, and forget it."""
        name, self.names = " + ".join(self.names) or "record", []
        return name


def die_at_points(control: Path) -> None:
    """Arrange for this process's death."""
    facts = Facts()
    for name in dir(Facts):
        if not name.startswith("_") and name != "take":
            _observe(name, getattr(facts, name))
    _learn_open_operations(facts)
    write = Database.write

    async def deadly_write(database: Database, function: Any, *args: Any, **named: Any) -> Any:
        point = ""

        def observed(connection: Any, *inner: Any, **more: Any) -> Any:
            nonlocal point
            facts.take()
            result = function(connection, *inner, **more)
            point = facts.take()
            note_point(control, point)
            strike(control, point, "before")
            return result

        result = await write(database, observed, *args, **named)
        strike(control, point, "after")
        return result

    Database.write = deadly_write  # type: ignore[method-assign, assignment]  # to die at it


def arm_death(
    control: Path,
    side: str,
    point: str,
    *,
    times: int = 1,
    victim: Victim = "daemon",
    spared: Sequence[int] = (),
) -> None:
    """Let the daemon, or its youngest VMM, die at a point, when it is reached so often from now on.

    `spared`: pids of VMMs that live on.
    """
    (control / "killed").unlink(missing_ok=True)
    death = {"victim": victim, "at": [side, point], "times": times, "spared": spared}
    (control / "die.new").write_text(json.dumps(death))
    os.replace(control / "die.new", control / "die")


def disarm(control: Path) -> None:
    """Let nobody die."""
    (control / "die").unlink(missing_ok=True)


def _observe(name: str, note: Any) -> None:
    original = getattr(store, name)

    def noted(*args: Any, **named: Any) -> Any:
        note(*args, **named)
        return original(*args, **named)

    setattr(store, name, noted)


def _learn_open_operations(facts: Facts) -> None:
    """Have the names of what a dead daemon had begun."""
    load = store.load_open_operations

    def load_and_learn(connection: Any) -> list[store.OpenOperation]:
        operations = load(connection)
        facts.methods |= {operation.id: operation.method for operation in operations}
        return operations

    store.load_open_operations = load_and_learn


def note_point(control: Path, point: str) -> None:
    """Record that a point is reached."""
    with open(control / "points", "a") as file:
        file.write(point + "\n")


_reached: Counter[tuple[int, int]] = Counter()
"""How often the point of each order was: by the order's file and its time."""


def strike(control: Path, point: str, side: str) -> None:
    """Kill whoever is to die at this side of this point, if it is the time."""
    try:
        order = (control / "die").stat()
        death = json.loads((control / "die").read_bytes())
    except FileNotFoundError:
        return
    if death["at"] != [side, point]:
        return
    known = (order.st_ino, order.st_mtime_ns)
    _reached[known] += 1
    if _reached[known] < death["times"]:
        return
    if death["victim"] == "daemon":
        die()
    disarm(control)
    _kill_youngest_vmm(control, death["spared"])


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def _kill_youngest_vmm(control: Path, spared: Sequence[int]) -> None:
    layout = layout_from_environment(os.environ)
    vmms = [p.process for p in find_leftovers(layout, []) if p.program.startswith(VMMS)]
    vmms = [vmm for vmm in vmms if vmm.pid not in spared]
    youngest = max(vmms, key=lambda vmm: (vmm.start_ticks, vmm.pid), default=None)
    if youngest is not None:
        send_signal(youngest, signal.SIGKILL)
    (control / "killed").write_text(str(youngest.pid if youngest else ""))
