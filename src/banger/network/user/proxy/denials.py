"""What the egress proxy has refused, and the exception by which its parts refuse. Pure."""

from __future__ import annotations

import re

from banger.model.egress import Denial

DENIALS_MAX = 256
WHY_MAX = 160
_UNPRINTABLE = re.compile(r"[^ -~]")


class Refused(Exception):
    """A connection may not go on. `target`: as in a rule; `can_allow`: a rule for it would help.

    `why` may hold what a guest said; what a terminal would act on is replaced.
    """

    def __init__(self, target: str, why: str, *, can_allow: bool = False) -> None:
        super().__init__(why)
        self.target, self.can_allow = target, can_allow
        self.why = _UNPRINTABLE.sub("?", why)[:WHY_MAX]


class Denials:
    """The last targets that were refused."""

    def __init__(self) -> None:
        self._all: dict[tuple[str, str], Denial] = {}

    def note(self, refused: Refused, *, now: float) -> None:
        """Count a refusal, in the place of the oldest if there are too many."""
        key = refused.target, refused.why
        before = self._all.pop(key, None)
        times = before.times + 1 if before else 1
        self._all[key] = Denial(refused.target, times, now, refused.can_allow, refused.why)
        if len(self._all) > DENIALS_MAX:
            del self._all[next(iter(self._all))]

    def list(self) -> list[Denial]:
        """Return all of them, the oldest first."""
        return list(self._all.values())
