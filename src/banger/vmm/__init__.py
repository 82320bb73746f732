"""Drivers: how VMs become host processes. One protocol, one folder for each VMM."""

from banger.vmm.console import Console, connect_console
from banger.vmm.driver import (
    Capability,
    Driver,
    DriverKind,
    MachineConfig,
    SharedFiles,
    VmmHandle,
    plan_machine,
)
from banger.vmm.leftovers import Leftover, end_leftover, find_leftovers
from banger.vmm.table import find_driver_kind

__all__ = [
    "Capability",
    "Console",
    "Driver",
    "DriverKind",
    "Leftover",
    "MachineConfig",
    "SharedFiles",
    "VmmHandle",
    "connect_console",
    "end_leftover",
    "find_driver_kind",
    "find_leftovers",
    "plan_machine",
]
