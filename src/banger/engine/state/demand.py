"""The templates and specs of recent VMs, for which the pool keeps clones (`transitions.pool`).

Fields only, true while this daemon lives: the clones themselves are rows.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from banger.model.vm import VmSpec


@dataclass
class Fill:
    """A clone that is being prepared."""

    task: asyncio.Task[None]
    awaited: bool = False
    """Somebody waits to claim it; the next asker had better make its own."""


@dataclass
class Demand:
    """What was asked for, by the origin of the template."""

    shapes: dict[str, VmSpec] = field(default_factory=dict)
    """The last one asked for is the last."""
    asked_at: dict[str, float] = field(default_factory=dict)
    """By the loop's clock."""
    fills: dict[str, Fill] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Wakes the loop that keeps the pool."""

    def note(self, origin: str, spec: VmSpec, *, at: float) -> None:
        """Remember that a VM was made from a template."""
        self.shapes.pop(origin, None)
        self.shapes[origin] = spec
        self.asked_at[origin] = at
        self.changed.set()

    def forget(self, origin: str) -> None:
        """Want no clones of a template until it is asked for again."""
        self.shapes.pop(origin, None)
        self.asked_at.pop(origin, None)
