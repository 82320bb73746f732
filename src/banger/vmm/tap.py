"""A TAP for a VMM, in a network namespace of the VMM's own: the program that makes it.

`native/tap/main.c` says what the program does, ADR 0074 why. It stands before the command of a
jail, whose monitor it becomes, or before the VMM itself. Without user namespaces, or where
/dev/net/tun is closed to users, there is no TAP, and the VMM does not start. Changes nothing.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from banger.errors import BangerError
from banger.host import programs
from banger.host.attachments import Tap

log = logging.getLogger(__name__)

FOLDER = Path(__file__).with_name("tap")
DEVICE = "/dev/net/tun"
TRIAL_DEADLINE_S = 10.0
PROCESS_NAME = "banger-tap$"
"""What a process is called for the moment before it becomes the jail."""


def find_tap_program() -> Path:
    """Return the program for this machine's architecture.

    Raises:
        HostNotReady: the package was built without it.
    """
    return programs.find_packaged(
        FOLDER, "banger-tap", what="program that makes TAPs", hint="banger vm run --network none"
    )


def plan_tap(program: Path, tap: Tap) -> list[str]:
    """Return what to put before a command that is to have this TAP and no other network.

    The command inherits the TAP's socket and keeps it open.
    """
    return [os.fspath(program), str(tap.side.fileno()), tap.name]


def plan_tap_trial(program: Path) -> list[str]:
    """Return a command that succeeds where a TAP can be made."""
    return [os.fspath(program), "-", "tap0", "true"]


async def can_make_tap() -> bool:
    """Tell whether a TAP can be made here, by making one; it ends with the trial."""
    try:
        await programs.run(plan_tap_trial(find_tap_program()), deadline_s=TRIAL_DEADLINE_S)
    except BangerError as error:
        log.warning("no TAP can be made: %s", error.message)
        return False
    return True
