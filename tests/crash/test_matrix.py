"""kill -9 of the daemon before and after every transaction of every verb (B3, B4, B5, B6, B11).

Real VMs, a real daemon, one installation. For each death: prepare, one verb that dies at a named
point, the next daemon; then records and machine agree, `gc` and `doctor` find nothing, what the
verb was about is whole or gone, and the witness, a guest that has nothing to do with it, has lost
nothing. First each verb runs to its end once: the points that it passes must be those of
`points.py`, so that none is missed when a verb changes.

Prints a line for each verb: deaths, and the slowest recovery. BANGER_TEST_CRASH=all dies at every
point on both sides; else the longer verbs take every second, third or seventh.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from banger.errors import BangerError
from tests.crash.points import SCENARIOS
from tests.support.installations import Installation
from tests.support.worlds import NETWORKED, SHAPE, World, open_world

Check = Callable[[World], None]


@pytest.fixture(scope="module")
def world(own_of_module: Installation) -> Iterator[World]:
    with open_world(own_of_module) as world:
        yield world
        doctor = json.loads(world.banger.run("doctor", "--json").out)
        assert doctor


def one_of(*allowed: dict[str, str]) -> Check:
    """Return a check of what VMs there are besides the witness."""

    def check(world: World) -> None:
        assert world.states() in allowed, world.states()
        for name, state in world.states().items():
            if state == "running":
                assert world.exec(name, "echo fine") == "fine\n"

    return check


def ensure_created(world: World) -> None:
    world.delete_others()
    world.call("vm.create", **NETWORKED, name="one", start=False)


def ensure_running(world: World) -> None:
    """Have the VM `one` with data; one that a death has left running must have it still."""
    states = world.states()
    if states not in ({"one": "running"}, {"one": "paused"}):
        world.delete_others()
        world.make_witness("one")
        return
    if states["one"] == "paused":
        world.call("vm.resume", ref="one")
    world.require_unharmed("one")


def ensure_paused(world: World) -> None:
    ensure_running(world)
    world.call("vm.pause", ref="one")


def ensure_no_snapshot(world: World) -> None:
    ensure_running(world)
    for snapshot in world.call("snapshot.list", ref="one"):
        world.call("snapshot.delete", ref="one", name=snapshot["name"])


def ensure_paused_without_snapshot(world: World) -> None:
    ensure_no_snapshot(world)
    world.call("vm.pause", ref="one")


def ensure_unflushed(world: World) -> None:
    ensure_running(world)
    world.exec("one", "echo late >/srv/late")


def check_flushed(world: World) -> None:
    one_of(ENDED, RUNS)(world)
    if world.states() == ENDED:
        world.call("vm.start", ref="one")
        assert world.exec("one", "cat /srv/late") == "late\n"
        world.delete_others()


def ensure_snapshot(world: World) -> None:
    world.forget("one")  # the last restore has put it back
    ensure_running(world)
    if not world.call("snapshot.list", ref="one"):
        world.call("snapshot.create", ref="one", name="first")


def ensure_unforked(world: World) -> None:
    for name in world.states():
        if name != "one":
            world.call("vm.delete", ref=name)
    ensure_running(world)


def ensure_no_template(world: World) -> None:
    world.delete_others()
    for template in world.call("template.list"):
        if template["memory_mib"] == 128:
            world.call("template.delete", ref=template["key"])


RUNS, ENDED, GONE = {"one": "running"}, {"one": "stopped"}, {}
VERBS: dict[str, tuple[Callable[[World], None], str, dict[str, Any], Check]] = {
    "create": (
        World.delete_others,
        "vm.create",
        {**SHAPE, "name": "one", "start": False},
        one_of(GONE, {"one": "created"}),
    ),
    "start": (
        ensure_created,
        "vm.start",
        {"ref": "one"},
        one_of({"one": "created"}, ENDED, RUNS),
    ),
    "clone": (
        World.delete_others,
        "vm.create",
        {**NETWORKED, "name": "one"},
        one_of(GONE, RUNS),
    ),
    "stop": (ensure_unflushed, "vm.stop", {"ref": "one"}, check_flushed),
    "kill": (ensure_running, "vm.kill", {"ref": "one"}, one_of(ENDED, RUNS)),
    "delete": (ensure_running, "vm.delete", {"ref": "one"}, one_of(GONE, RUNS)),
    "prune": (
        ensure_created,
        "vm.prune",
        {"dry_run": False},
        one_of(GONE, {"one": "created"}),
    ),
    "pause": (ensure_running, "vm.pause", {"ref": "one"}, one_of(RUNS, {"one": "paused"})),
    "resume": (ensure_paused, "vm.resume", {"ref": "one"}, one_of(RUNS, {"one": "paused"})),
    "snapshot": (
        ensure_no_snapshot,
        "snapshot.create",
        {"ref": "one", "name": "first"},
        one_of(RUNS),
    ),
    "snapshot of a paused VM": (
        ensure_paused_without_snapshot,
        "snapshot.create",
        {"ref": "one", "name": "first"},
        one_of({"one": "paused"}),
    ),
    "run --rm": (
        World.delete_others,
        "vm.create",
        {**SHAPE, "name": "one", "ephemeral": True},
        one_of(GONE),
    ),
    "restore": (
        ensure_snapshot,
        "snapshot.restore",
        {"ref": "one", "name": "first"},
        one_of(RUNS, ENDED),
    ),
    "fork": (
        ensure_unforked,
        "vm.fork",
        {"ref": "one", "name": "copy"},
        one_of(RUNS, {**RUNS, "copy-1": "running"}),
    ),
    "template build": (
        ensure_no_template,
        "template.build",
        {**SHAPE, "memory_mib": 128},
        one_of(GONE),
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_death_at_every_point(world: World, name: str) -> None:
    """A1, A9, B3, B4, B5, B6, B11, D2, D4, D9: whatever was begun is done, or never was."""
    prepare, method, params, check = VERBS[name]
    scenario = SCENARIOS[name]

    def verb() -> object:
        return world.call(method, **params)

    prepare(world)
    passed = [point for point in world.recorded(verb) if point != "record"]
    assert set(passed) - OPTIONAL == set(scenario.points), "points.py does not know this verb"
    wrong = []
    world.recoveries.clear()
    for death in scenario.deaths:
        try:
            prepare(world)
            died = world.die(death.side, death.point, verb)
            if died:
                world.open_daemon()
            assert died, "the daemon did not get there"
            world.settle()
            check(world)
            world.require_unharmed("witness")
        except (AssertionError, BangerError) as error:
            wrong.append(f"{death}: {error!r}"[:900])
            if world.daemon.poll() is not None:
                world.open_daemon()
            world.delete_others()
    slowest = max(world.recoveries, default=0.0)
    print(f"{name}: {len(scenario.deaths)} deaths, slowest recovery {slowest:.1f} s")
    world.delete_others()
    assert not wrong, f"{len(wrong)} of {len(scenario.deaths)}:\n" + "\n".join(wrong)


def test_death_during_recovery(world: World) -> None:
    """B5: whoever dies while it completes a delete leaves that to the next one."""
    for death in SCENARIOS["delete"].deaths:
        ensure_created(world)
        # Its directory is gone, and that is not written down yet.
        gone = "vm.delete 3 remove-vm-dir done"
        assert world.die("before", gone, lambda: world.call("vm.delete", ref="one"))
        world.open_daemon(to_die_at=(death.side, death.point))
        if death.point != "delete network handle":
            assert world.daemon.poll() is not None, death
            world.open_daemon()
        world.settle()
        assert world.states() == {}
    world.require_unharmed("witness")


OPTIONAL = {"delete network handle"}
"""Passed by whoever ends a VM that had a network."""
