"""Drivers: how VMs become host processes. One protocol, one folder for each VMM."""

from banger.vmm.console import Console, connect_console
from banger.vmm.driver import (
    Capability,
    Driver,
    MachineConfig,
    SharedFiles,
    VmmHandle,
    plan_machine,
)
from banger.vmm.leftovers import Leftover, end_leftover, find_leftovers

__all__ = [
    "Capability",
    "Console",
    "Driver",
    "Leftover",
    "MachineConfig",
    "SharedFiles",
    "VmmHandle",
    "connect_console",
    "end_leftover",
    "find_leftovers",
    "plan_machine",
]
