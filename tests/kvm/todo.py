"""The scenarios of a run that are still to be tried, in whichever emulated host is free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.kvm.vms import Scenario

TRIES = 3
"""A scenario that has failed as often, each time in another host, has failed."""


class Todo:
    """The scenarios that are still to be tried, in any host."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self._waiting = list(scenarios)
        self._failures = Counter[Scenario]()

    @property
    def left(self) -> list[Scenario]:
        """Those that wait; once one has failed TRIES times, those that are not tried any more."""
        return list(self._waiting)

    def take(self, failed_here: Sequence[Scenario] = ()) -> Scenario | None:
        """Return the next one that has not failed in the same host; None: there is none."""
        if TRIES in self._failures.values():
            return None
        scenario = next((each for each in self._waiting if each not in failed_here), None)
        if scenario is not None:
            self._waiting.remove(scenario)
        return scenario

    def fail(self, scenario: Scenario) -> None:
        """Note that one has failed. It is the next one, for another host."""
        self._failures[scenario] += 1
        self._waiting.insert(0, scenario)
