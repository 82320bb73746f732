"""kill -9 of a VMM at the transactions of what starts and saves machines (B3, D3, D9).

As in `test_matrix`, but it is the youngest VMM that dies, and the daemon lives on: the verb ends
with an answer, what is left can be used, and nothing half-made stays.

SAMPLE of the points of each verb, and the one that is fatal; BANGER_TEST_CRASH=all: all of them.
Verbs that boot anew after each death do so with QEMU in every second sample.
"""

from __future__ import annotations

from typing import Any

import pytest

from banger.host.identity import identify
from tests.crash.points import SCENARIOS
from tests.crash.verbs import RUNS, ensure_no_template, ensure_waiting
from tests.support.drivers import DRIVERS
from tests.support.installations import wait_for
from tests.support.leaks import find_processes
from tests.support.sampling import ALL, NUMBER, choose
from tests.support.templates import lend_templates
from tests.support.worlds import SHAPE, Killed, World

SMALL = {**SHAPE, "memory_mib": 128}
SAMPLE = 1
SAVED = "save vmm handle"
"""Right after it a verb relies on the VMM that it has started."""
ENDED = "The VMM of VM "
"""Begins the error of a verb that needs the VMM."""


def booting(turn: int) -> pytest.MarkDecorator:
    """Have a test for VMs of each driver; of QEMU's in every second sample."""
    drivers = [each for each in DRIVERS if each != "qemu" or ALL or turn == NUMBER % 2]
    return pytest.mark.parametrize("world", drivers, indirect=True, scope="module")


def points_of(world: World, name: str) -> list[str]:
    """Return a sample of a verb's points, with the one whose death the verb cannot survive."""
    points = SCENARIOS[world.driver][name].points
    sampled = choose(points, SAMPLE, NUMBER // 2)
    fatal = points[points.index(SAVED) + 1 if SAVED in points else 0]
    chosen = [point for point in points if point in sampled or point == fatal]
    print(f"{world.driver}, {name}: {len(chosen)} points in sample {NUMBER}")
    return chosen


def kill_at(world: World, point: str, method: str, **params: Any) -> Killed:
    """Kill the youngest VMM but the witness's right before a transaction of a verb."""
    killed = world.kill_vmm("before", point, method, **params)

    def is_noticed() -> bool:
        """What runs is another VMM; nothing is left of what does not."""
        vms = world.vms()
        ended = [vm["id"] for vm in vms if vm["state"] not in ("running", "paused")]
        folders = [world.banger.layout.vm_dir(vm_id) for vm_id in ended]
        is_gone = killed.pid is None or identify(killed.pid) is None
        runs = {vm.get("pid") for vm in vms if vm["id"] not in ended}
        # One without a pid is being cleaned up.
        is_told = runs.isdisjoint({killed.pid, None})
        return is_gone and is_told and not any(map(find_processes, folders))

    wait_for(is_noticed, "the VMM's death to be noticed")
    return killed


def require_fine(world: World, name: str) -> None:
    """Check that a VM, if it runs, is of use, and that all is sound."""
    if world.states()[name] == "running":
        world.require_answers(name)
    world.settle()
    world.require_unharmed("witness")


@booting(turn=0)
def test_death_during_clone(world: World) -> None:
    """D3, B3: the VM boots instead, and says so; or it was ready, and has died since."""
    fell_back = 0
    for point in points_of(world, "clone"):
        renew(world)
        killed = kill_at(world, point, "vm.create", **world.networked, name="one")
        assert killed.error is None or "did not become ready" in killed.error.message, killed
        if "booting instead" in killed.said:
            fell_back += 1
            assert f"booting instead: {ENDED}" in killed.said, killed
        require_fine(world, "one")
    assert fell_back
    renew(world)
    world.call("vm.create", **world.networked, name="one")
    require_fine(world, "one")


def renew(world: World) -> None:
    """Have no VM, a template, and a daemon with which earlier failures do not count."""
    world.delete_others()
    world.stop_daemon()
    world.open_daemon()
    lend_templates(world.banger.layout)  # one that has failed is gone
    world.call("template.build", **world.networked)


@booting(turn=1)
def test_death_during_template_build(world: World) -> None:
    """A9, D9: no half of a template is left, and the next one is whole."""
    failed = 0
    for point in points_of(world, "template build"):
        ensure_no_template(world)
        killed = kill_at(world, point, "template.build", **SMALL)
        world.settle()
        assert world.states() == {}
        templates = [t for t in world.call("template.list") if t["memory_mib"] == 128]
        assert len(templates) == (killed.error is None), killed
        failed += killed.error is not None
    assert failed
    world.call("vm.create", **SMALL, name="one")
    assert world.states() == RUNS
    require_fine(world, "one")


def test_death_during_snapshot(world: World) -> None:
    """A9, D9: there is no snapshot, or a whole one; the VM boots again."""
    failed = 0
    for point in points_of(world, "snapshot"):
        world.delete_others()
        world.make_witness("one")
        killed = kill_at(world, point, "snapshot.create", ref="one", name="first")
        assert killed.pid
        assert world.states()["one"] in ("error", "stopped"), killed
        failed += killed.error is not None
        world.settle()
        assert len(world.call("snapshot.list", ref="one")) == (killed.error is None), killed
        if killed.error is None:
            world.call("snapshot.restore", ref="one", name="first")
            world.require_unharmed("one")
        elif failed == 1:
            world.call("vm.start", ref="one")
        require_fine(world, "one")
    assert failed


def test_death_during_fork(world: World) -> None:
    """A9, B3: all forks or none; the VM that they are made of goes on, unless it was the one."""
    failed = 0
    for point in points_of(world, "fork"):
        world.delete_others()
        world.make_witness("one")
        killed = kill_at(world, point, "vm.fork", ref="one", number=2, name="copy")
        assert killed.pid
        if killed.error is not None:
            failed += 1
            assert killed.error.message.startswith(ENDED), killed
        states = world.states()
        forks = set(states) - {"one"}
        assert len(forks) == (0 if killed.error else 2), killed
        dead = [name for name, state in states.items() if state != "running"]
        # Had it been a fork that was not ready, it is gone, and the verb has failed.
        assert len(dead) == 1 or (not dead and killed.error), (killed, dead)
        world.settle()
        for name in set(states) - set(dead):
            require_fine(world, name)
    assert failed


def test_death_during_claim(world: World) -> None:
    """D3, B3: whoever asked gets another VM; or it was handed out, and has died since."""
    replaced = 0
    for point in points_of(world, "claim"):
        world.use_pool(1)
        ensure_waiting(world)
        waiting = set(world.banger.prepared())
        killed = kill_at(world, point, "vm.create", **world.networked, name="one")
        assert killed.pid and killed.error is None, killed
        (made,) = [vm for vm in world.vms() if vm["name"] == "one"]
        assert made["state"] == ("error" if made["id"] in waiting else "running"), made
        replaced += made["id"] not in waiting
        # So that no clone waits any more.
        world.use_pool(0)
        require_fine(world, "one")
    assert replaced
