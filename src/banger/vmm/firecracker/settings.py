"""The settings of Firecracker. Read by every process with settings: imports no driver."""

from __future__ import annotations

from dataclasses import dataclass

from banger.setting import Group, Option, fixed
from banger.settingvalues import text
from banger.vmm.firecracker.tools import PROGRAM


@dataclass(frozen=True, kw_only=True)
class FirecrackerSettings:
    """Where Firecracker is."""

    binary: str


GROUPS = (
    Group(
        "firecracker",
        FirecrackerSettings,
        (
            Option(
                "firecracker.binary",
                "Firecracker program: a name or a path.",
                text,
                fixed(PROGRAM),
            ),
        ),
    ),
)
