"""A real daemon that behaves in one special way: `python -m tests.support.special_daemon`.

    --die-before N, --die-after N   kill -9 itself right before, or right after, the N-th
                                    transaction that changes the database
    --armed-by FILE                 count only the transactions while there is such a file

The product knows nothing of this. Every durable fact goes through `Database.write`, and
each step's effects lie between two of its calls, so dying around every call is dying
between any two steps, and between a step and its record (hazards B4, B5).
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
from typing import Any, NoReturn

from banger.daemon.__main__ import main
from banger.daemon.app import open_handlers
from banger.store import Database


def die_at(number: int, *, after: bool, armed_by: str | None) -> None:
    """Arrange for this process's sudden death at a transaction."""
    numbers = itertools.count(1)
    write = Database.write

    async def deadly_write(database: Database, *args: Any, **named: Any) -> Any:
        is_counted = armed_by is None or os.path.exists(armed_by)
        is_last = is_counted and next(numbers) == number
        if is_last and not after:
            _die()
        result = await write(database, *args, **named)
        if is_last:
            _die()
        return result

    Database.write = deadly_write  # type: ignore[method-assign, assignment]


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def run() -> int:
    """Run the daemon in the foreground."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--die-before", type=int)
    parser.add_argument("--die-after", type=int)
    parser.add_argument("--armed-by")
    arguments = parser.parse_args()
    if arguments.die_before:
        die_at(arguments.die_before, after=False, armed_by=arguments.armed_by)
    if arguments.die_after:
        die_at(arguments.die_after, after=True, armed_by=arguments.armed_by)
    return main(open_handlers)


if __name__ == "__main__":
    sys.exit(run())
