"""The table of actors: one for each step, and none for two."""

from __future__ import annotations

from typing import get_args

from banger.engine.steps.table import ACTORS, ROOMS
from banger.plan.steps import Step


def test_every_step_has_one_actor() -> None:
    """B5: a step in a dead daemon's journal can be undone whatever it is."""
    rows = [actor.step for room in ROOMS for actor in room.ACTORS]
    assert set(rows) == set(get_args(Step)) == set(ACTORS)
    assert len(rows) == len(ACTORS)
