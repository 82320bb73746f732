"""A real daemon that behaves in one special way: `python -m tests.support.special_daemon`.

    --die-before N, --die-after N   kill -9 itself right before, or right after, the N-th
                                    transaction that changes the database
    --kill-vmm N                    kill -9 the youngest VMM right before the N-th one
    --ask-every S                   ask the guests whether they live so often, and count one that
                                    does not answer within as long as silent
    --armed-by FILE                 count only the transactions while there is such a file
    --deaths DIR    kill -9 itself at a point of the journal that is named there (`deaths.py`)
    --faults DIR    let the k-th call of a request to the host fail (`faults.py`)

The product knows nothing of this.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

from banger.daemon.__main__ import main
from banger.daemon.app import open_handlers
from banger.engine.upkeep import health
from banger.host.process import send_signal
from banger.layout import layout_from_environment
from banger.store import Database
from banger.vmm import find_leftovers
from tests.support.deaths import die, die_at_points
from tests.support.faults import arm_requests

KILLED = "killed the VMM "


def die_at(number: int, *, after: bool, armed_by: str | None) -> None:
    """Arrange for this process's sudden death at a transaction."""
    numbers = itertools.count(1)
    write = Database.write

    async def deadly_write(database: Database, *args: Any, **named: Any) -> Any:
        is_counted = armed_by is None or os.path.exists(armed_by)
        is_last = is_counted and next(numbers) == number
        if is_last and not after:
            die()
        result = await write(database, *args, **named)
        if is_last:
            die()
        return result

    Database.write = deadly_write  # type: ignore[method-assign, assignment]


def kill_vmm_at(number: int) -> None:
    """Arrange for the sudden death of the VMM that was started last, at a transaction."""
    numbers = itertools.count(1)
    write = Database.write

    async def deadly_write(database: Database, *args: Any, **named: Any) -> Any:
        if next(numbers) == number:
            _kill_youngest_vmm()
        return await write(database, *args, **named)

    Database.write = deadly_write  # type: ignore[method-assign, assignment]


def _kill_youngest_vmm() -> None:
    layout = layout_from_environment(os.environ)
    vmms = [p.process for p in find_leftovers(layout, []) if p.program.startswith("qemu-")]
    youngest = max(vmms, key=lambda vmm: (vmm.start_ticks, vmm.pid), default=None)
    if youngest is not None:
        send_signal(youngest, signal.SIGKILL)
    print(f"{KILLED}{youngest.pid if youngest else 0}", flush=True)


def run() -> int:
    """Run the daemon in the foreground."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--die-before", type=int)
    parser.add_argument("--die-after", type=int)
    parser.add_argument("--kill-vmm", type=int)
    parser.add_argument("--ask-every", type=float)
    parser.add_argument("--armed-by")
    parser.add_argument("--deaths", type=Path)
    parser.add_argument("--faults", type=Path)
    arguments = parser.parse_args()
    if arguments.ask_every:
        health.ASK_EVERY_S = health.ANSWER_S = arguments.ask_every
    if arguments.die_before:
        die_at(arguments.die_before, after=False, armed_by=arguments.armed_by)
    if arguments.die_after:
        die_at(arguments.die_after, after=True, armed_by=arguments.armed_by)
    if arguments.kill_vmm:
        kill_vmm_at(arguments.kill_vmm)
    if arguments.deaths:
        die_at_points(arguments.deaths)
    if arguments.faults:
        arm_requests(arguments.faults)
    return main(open_handlers)


if __name__ == "__main__":
    sys.exit(run())
