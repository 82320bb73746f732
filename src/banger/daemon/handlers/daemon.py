"""`daemon.*`: status of the daemon, and its stop."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from banger.api.requests import NoParams
from banger.api.results import DaemonStatus
from banger.daemon.calls import Call, Handlers
from banger.daemon.lifecycle import Control
from banger.version import VERSION

CountVms = Callable[[], Awaitable[int]]


def daemon_handlers(control: Control, *, count_vms: CountVms) -> Handlers:
    """Return the handlers of `daemon.*`."""

    async def status(_: Call, __: NoParams) -> DaemonStatus:
        return DaemonStatus(
            pid=os.getpid(),
            version=VERSION,
            socket=str(control.layout.daemon_socket),
            started_at=control.started_at,
            uptime_s=round(time.time() - control.started_at, 3),
            vms=await count_vms(),
            resident_mib=_resident_mib(),
        )

    async def stop(call: Call, params: NoParams) -> DaemonStatus:
        last = await status(call, params)
        control.stop.set()
        # Reply only now: a client that then starts a new daemon must never reach this one.
        await control.deaf.wait()
        return last

    return {"daemon.status": status, "daemon.stop": stop}


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return round(pages * resource.getpagesize() / 2**20, 1)
