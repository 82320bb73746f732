"""The host tools for QEMU and its jail. Standard library only: see `host.packages`."""

from __future__ import annotations

import platform

from banger.host.tools import Tool

_ARM = platform.machine() == "aarch64"
PROGRAM = "qemu-system-aarch64" if _ARM else "qemu-system-x86_64"

TOOLS = (
    Tool(
        PROGRAM,
        "runs VMs",
        ("qemu-system-arm",) + ("qemu-system-aarch64",) * 2 + ("qemu-arm", "qemu-system-aarch64")
        if _ARM
        else (
            "qemu-system-x86",
            "qemu-system-x86-core",
            "qemu-system-x86",
            "qemu-x86",
            "qemu-system-x86_64",
        ),
        name="qemu",
        setting="qemu.binary",
        oldest=(7, 2),  # -netdev stream over a Unix socket
    ),
    Tool(
        "bwrap",
        "jails VMMs",
        ("bubblewrap",) * 5,
        required=False,
        trial=(
            "--unshare-all",
            "--as-pid-1",
            "--ro-bind",
            "/",
            "/",
            "true",
        ),  # containers often forbid it
        otherwise="VMMs have no jail, only a filter of system calls",
    ),
)
