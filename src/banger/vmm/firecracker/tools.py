"""Firecracker as a host tool. Standard library only: see `host.packages`."""

from __future__ import annotations

from banger.host.tools import Tool

PROGRAM = "firecracker"
RELEASES = "https://github.com/firecracker-microvm/firecracker/releases"

TOOLS = (
    Tool(
        PROGRAM,
        "runs VMs on KVM, in less memory",
        (None,) * 5,
        required=False,
        setting="firecracker.binary",
        oldest=(1, 12),  # a restored guest's network interface may have another name
        otherwise="VMs run on another driver",
        source=RELEASES,
    ),
)
