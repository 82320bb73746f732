"""`doctor`: whether this host is ready, by the command of that name.

It runs as a program of its own, so that what it imports and waits for stays out of the daemon.
Requests at the same time share one answer. Touches nothing.
"""

from __future__ import annotations

import os
import sys

import msgspec

from banger.api.method import serves
from banger.api.results import HostReport
from banger.engine.state.engine import Engine
from banger.engine.state.operations import Operation
from banger.engine.state.shared import Progress
from banger.errors import HostNotReady
from banger.host.programs import run

ARGV = (sys.executable, "-P", "-m", "banger", "doctor", "--json")
DEADLINE_S = 120.0
"""For all checks, each of which has a deadline of its own."""


@serves("doctor")
async def check_host(engine: Engine, op: Operation) -> HostReport:
    """Check this host."""

    async def check(_: Progress) -> HostReport:
        ok = (0, HostNotReady.exit_code)
        finished = await run(ARGV, deadline_s=DEADLINE_S, env=os.environ, ok=ok)
        return msgspec.json.decode(finished.stdout, type=HostReport)

    return await engine.shared.run("doctor", check, op.progress)
