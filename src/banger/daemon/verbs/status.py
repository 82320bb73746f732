"""`daemon.*`: status of the daemon, and its stop."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from banger.api.method import serves
from banger.api.results import DaemonStatus
from banger.daemon.lifecycle import Control
from banger.version import VERSION


@serves("daemon.status")
async def status(control: Control) -> DaemonStatus:
    """Return the daemon's status."""
    return DaemonStatus(
        pid=os.getpid(),
        version=VERSION,
        socket=str(control.layout.daemon_socket),
        started_at=control.started_at,
        uptime_s=round(time.time() - control.started_at, 3),
        vms=await control.count_vms(),
        resident_mib=_resident_mib(),
    )


@serves("daemon.stop")
async def stop(control: Control) -> DaemonStatus:
    """Stop the daemon; return its last status."""
    last = await status(control)
    control.stop.set()
    # Reply only now: a client that then starts a new daemon must never reach this one.
    await control.deaf.wait()
    return last


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return round(pages * resource.getpagesize() / 2**20, 1)
