"""kill -9 of the daemon before and after every transaction of every verb (B3, B4, B5, B6, B11).

Real VMs, a real daemon, one installation. For each death: prepare, one verb that dies at a named
point, the next daemon; then records and machine agree, `gc` and `doctor` find nothing, what the
verb was about is whole or gone, and the witness, a guest that has nothing to do with it, has lost
nothing. First each verb runs to its end once: the points that it passes must be those of
`points.py`, so that none is missed when a verb changes.

Prints a line for each verb: deaths, and the slowest recovery. BANGER_TEST_CRASH=all dies at every
point on both sides; else a sample has one death of each kind.
"""

from __future__ import annotations

import pytest

from banger.errors import BangerError
from tests.crash.points import RECORD, SCENARIOS, choose_deaths
from tests.crash.verbs import VERBS
from tests.support.sampling import NUMBER
from tests.support.worlds import World

DEATHS = choose_deaths()
OPTIONAL = {RECORD, "delete network handle"}
"""The second is passed by whoever ends a VM that had a network."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_death_at_every_point(world: World, name: str) -> None:
    """A1, A9, B3, B4, B5, B6, B11, D2, D4, D9: whatever was begun is done, or never was."""
    verb, scenario = VERBS[name], SCENARIOS[name]

    def act() -> object:
        return verb.act(world)

    world.use_pool(verb.pool)
    verb.prepare(world)
    passed = set(world.recorded(act)) - OPTIONAL
    assert passed == set(scenario.points) - OPTIONAL, "points.py does not know this verb"
    wrong = []
    world.recoveries.clear()
    for death in DEATHS[name]:
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
    print(f"{name}: {len(DEATHS[name])} deaths, slowest recovery {slowest:.1f} s")
    if world.daemon.poll() is not None:
        world.open_daemon()
    world.delete_others()
    many = f"{len(wrong)} of {len(DEATHS[name])} in sample {NUMBER}"
    assert not wrong, f"{many}:\n" + "\n".join(wrong)
