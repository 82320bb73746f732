"""The actors of all steps, by the kind of step."""

from __future__ import annotations

from typing import Any

from banger.engine.steps import disk, guest, limits, network, saving, shutdown, vmm
from banger.engine.steps.actor import Actor
from banger.plan.steps import Step

ROOMS = (disk, guest, limits, network, saving, shutdown, vmm)

ACTORS: dict[type[Step], Actor[Any]] = {
    actor.step: actor for room in ROOMS for actor in room.ACTORS
}
