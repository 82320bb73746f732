"""`setup --bridge`: install what makes a bridge for this user's VMs. Needs root once.

If it dies on the way, it can be run again, and so can the removal.
"""

from __future__ import annotations

import os
import tempfile
import time
from argparse import Namespace
from pathlib import Path

from banger.cli.app.context import Context
from banger.cli.options.as_root import run_as_root
from banger.errors import HostNotReady

PATIENCE_S = 60.0
"""For a helper that was started to answer."""
PAUSE_S = 0.3
AGAIN = "banger setup --bridge"


def set_up_bridge(arguments: Namespace, context: Context) -> int:
    """Show the unit and the commands; run them after asking, and check that the helper answers."""
    from banger.network.bridge.install import build_program, plan_install, render_unit, require_host

    _require_user()
    unit = render_unit(os.getuid())
    require_host(unit)
    context.out(unit.rstrip("\n"))
    with tempfile.TemporaryDirectory(prefix="banger-bridge-") as folder:
        files = (Path(folder, "program"), Path(folder, "unit"))
        files[0].write_bytes(build_program())
        files[1].write_text(unit)
        if not run_as_root(plan_install(*files), arguments, context, hint=AGAIN):
            return 0
    _require_helper()
    context.say("VMs can join the bridge: banger vm run --network bridge")
    return 0


def remove_bridge(arguments: Namespace, context: Context) -> int:
    """Remove what `set_up_bridge` has made, after asking."""
    from banger.network.bridge.install import PROGRAM, plan_removal

    if not PROGRAM.exists():
        context.say("banger has no bridge on this host.")
    elif run_as_root(plan_removal(), arguments, context, hint=f"{AGAIN} --remove"):
        context.say(f"removed {PROGRAM}, its unit, the bridge and its rules")
    return 0


def _require_user() -> None:
    """Check that this is whoever is to have the bridge, and not root in his place.

    Raises:
        HostNotReady: it is.
    """
    if os.geteuid() == 0 and "SUDO_UID" in os.environ:
        raise HostNotReady(
            "A bridge belongs to the user who sets it up: run this command without sudo, which it "
            "starts itself.",
            hint=AGAIN,
        )


def _require_helper() -> None:
    """Check that the helper serves this user.

    Raises:
        HostNotReady: it does not.
    """
    from banger.network.bridge.process import LOG, describe_network
    from banger.network.bridge.wire import SOCKET

    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            describe_network(SOCKET)
        except HostNotReady as error:
            if time.monotonic() > end:
                raise HostNotReady(error.message, hint=LOG) from error
            time.sleep(PAUSE_S)
        else:
            return
