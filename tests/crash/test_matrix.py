"""kill -9 of the daemon before and after every transaction of every verb (B3, B4, B5, B6, B11).

A real daemon and VMs of each driver, real ones of QEMU. For each death: prepare, one verb that
dies at a named point, the next daemon; then records and machine agree, `gc` and `doctor` find
nothing, what the verb was about is whole or gone, and the witness, a guest that has nothing to do
with it, has lost nothing. First each verb runs to its end once: the points that it passes must be
those of `points.py`, so that none is missed when a verb changes.

Prints a line for each verb: deaths, and the slowest recovery. BANGER_TEST_CRASH=all dies at every
point on both sides; else a sample has one death of each kind (`points.py`).
"""

from __future__ import annotations

import pytest

from banger.errors import BangerError
from tests.crash.points import RECORD, SCENARIOS, choose_deaths
from tests.crash.verbs import VERBS
from tests.support.sampling import NUMBER
from tests.support.worlds import World

DEATHS = choose_deaths()
OPTIONAL = {RECORD, "delete network handle", "guest run sh"}
"""The second is passed by whoever ends a VM that had a network; the third is within the step that
makes a workspace read-only."""


def of(driver: str) -> pytest.MarkDecorator:
    """Have a test for VMs of this driver alone."""
    return pytest.mark.parametrize("world", [driver], indirect=True, scope="module")


@of("qemu")
@pytest.mark.parametrize("name", DEATHS["qemu"])
def test_deaths_with_qemu(world: World, name: str) -> None:
    """A1, A9, B3, B4, B5, B6, B11, D2, D4, D9: whatever was begun is done, or never was."""
    die_at_each(world, name)


@of("firecracker")
@pytest.mark.parametrize("name", DEATHS["firecracker"])
def test_deaths_with_firecracker(world: World, name: str) -> None:
    """A9, B3, B4, B5, B6, B11, D9: as above."""
    die_at_each(world, name)


def die_at_each(world: World, name: str) -> None:
    """Let the daemon die at each of a verb's deaths in the sample, and look at what is left."""
    verb, scenario = VERBS[name], SCENARIOS[world.driver][name]
    deaths = DEATHS[world.driver][name]

    def act() -> object:
        return verb.act(world)

    world.use_pool(verb.pool)
    verb.prepare(world)
    passed = set(world.recorded(act)) - OPTIONAL
    assert passed == set(scenario.points) - OPTIONAL, "points.py does not know this verb"
    wrong = []
    world.recoveries.clear()
    for death in deaths:
        try:
            if world.daemon.poll() is not None:
                world.open_daemon()
            verb.prepare(world)
            died = world.die(death.side, death.point, act)
            if died:
                world.open_daemon()
            assert died, "the daemon did not get there"
            world.settle()
            verb.check(world)
            world.require_unharmed("witness")
        except (AssertionError, BangerError) as error:
            wrong.append(f"{death}: {error!r}"[:900])
            if world.daemon.poll() is not None:
                world.open_daemon()
            world.delete_others()
    slowest = max(world.recoveries, default=0.0)
    print(f"{world.driver}, {name}: {len(deaths)} deaths, slowest recovery {slowest:.1f} s")
    if world.daemon.poll() is not None:
        world.open_daemon()
    world.delete_others()
    many = f"{len(wrong)} of {len(deaths)} in sample {NUMBER}"
    assert not wrong, f"{many}:\n" + "\n".join(wrong)
