"""What can be told of the toy driver."""

from __future__ import annotations

from dataclasses import dataclass

from banger.setting import Group, Option, fixed
from banger.settingvalues import text


@dataclass(frozen=True, kw_only=True)
class ToySettings:
    """Where its program is."""

    binary: str


GROUPS = (
    Group(
        "toy", ToySettings, (Option("toy.binary", "The program.", text, fixed("/nonexistent/toy")),)
    ),
)
