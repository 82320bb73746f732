"""The settings of QEMU. Read by every process that has settings: imports no driver."""

from __future__ import annotations

from dataclasses import dataclass

from banger.setting import Group, Option, fixed
from banger.settingvalues import text
from banger.vmm.qemu.tools import PROGRAM


@dataclass(frozen=True, kw_only=True)
class QemuSettings:
    """Where QEMU is."""

    binary: str


GROUPS = (
    Group(
        "qemu",
        QemuSettings,
        (Option("qemu.binary", "QEMU program: a name or a path.", text, fixed(PROGRAM)),),
    ),
)
