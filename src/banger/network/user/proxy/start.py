"""Start the egress proxy of a VM; for the daemon."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from banger.errors import VmmFailed
from banger.host.identity import ProcessIdentity, is_alive, spawn_identified
from banger.network.egress.control import control_socket
from banger.network.user.argv import plan_egress_proxy
from banger.network.user.backend import Backend, died_early


class Proxy(Struct, frozen=True):
    """A proxy that was started."""

    process: ProcessIdentity
    control: str
    """Path of its socket."""


def start_proxy(backend: Backend, control: Path, log_file: Path) -> Proxy:
    """Start the proxy of a back end that has a namespace of its own; it answers when it is ready.

    Raises:
        VmmFailed: it does not start, or the back end has ended.
    """
    try:
        inside = os.pidfd_open(backend.process.pid)
    except ProcessLookupError as error:
        raise died_early(log_file) from error
    try:
        if not is_alive(backend.process):  # the descriptor is of that very process
            raise died_early(log_file)
        with control_socket(control) as listener:
            argv = plan_egress_proxy(inside=inside, control=listener.fileno(), label=log_file)
            numbers = (inside, listener.fileno())
            process = spawn_identified(argv, log_file=log_file, pass_fds=numbers)
    finally:
        os.close(inside)
    if process is None:
        raise VmmFailed("The egress proxy exited at once.", details=str(log_file))
    return Proxy(process, os.fspath(control))
