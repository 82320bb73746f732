"""`setup --NETWORK`: install a network's service for this user's VMs. Needs root once.

If it dies on the way, it can be run again, and so can the removal.
"""

from __future__ import annotations

import os
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from banger.cli.app.context import Context
from banger.cli.options.as_root import run_as_root
from banger.errors import HostNotReady

if TYPE_CHECKING:
    from banger.network.port import Service

PATIENCE_S = 60.0
"""For a service that was started to answer."""
PAUSE_S = 0.3


def set_up_network(word: str, arguments: Namespace, context: Context) -> int:
    """Show the unit and the commands; run them after asking, and check that the service answers."""
    from banger.network.table import find_service

    again, service = f"banger setup --{word}", find_service(word)
    _require_user(again)
    unit = service.render_unit(os.getuid())
    service.require_host(unit)
    context.out(unit.rstrip("\n"))
    with tempfile.TemporaryDirectory(prefix="banger-setup-") as folder:
        files = (Path(folder, "program"), Path(folder, "unit"))
        files[0].write_bytes(service.build_program())
        files[1].write_text(unit)
        if not run_as_root(service.plan_install(*files), arguments, context, hint=again):
            return 0
    _wait_until_it_answers(service)
    context.say(f"VMs can join it: banger vm run --network {word}")
    return 0


def remove_network(word: str, arguments: Namespace, context: Context) -> int:
    """Remove what `set_up_network` has made, after asking."""
    from banger.network.table import find_service

    again, service = f"banger setup --{word} --remove", find_service(word)
    if not service.is_installed():
        context.say(f"banger has no {word} network on this host.")
    elif run_as_root(service.plan_removal(), arguments, context, hint=again):
        context.say(f"removed the network {word}: its service, devices and rules")
    return 0


def _require_user(again: str) -> None:
    """Check that this is the user who is to have the network, and not root.

    Raises:
        HostNotReady: it is.
    """
    if os.geteuid() == 0 and "SUDO_UID" in os.environ:
        raise HostNotReady(
            "A network belongs to the user who sets it up: run this command without sudo, which it "
            "starts itself.",
            hint=again,
        )


def _wait_until_it_answers(service: Service) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            service.require_answer()
        except HostNotReady as error:
            if not error.retryable or time.monotonic() > end:
                raise
            time.sleep(PAUSE_S)
        else:
            return
