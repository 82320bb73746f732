"""Start passt, which makes a user network where slirp4netns is not installed."""

from __future__ import annotations

import contextlib
import functools
import socket
from pathlib import Path

from banger.host.identity import spawn_identified
from banger.network.port import Interface
from banger.network.user.argv import plan_passt
from banger.network.user.backend import (
    SEND_BUFFER_BYTES,
    Backend,
    await_answer,
    died_early,
    limit_connections,
)


async def start_passt(interface: Interface, *, binary: str, log_file: Path) -> Backend:
    """Start passt and return it when it has answered.

    Raises:
        HostNotReady: the host has no route.
        VmmFailed: it does not start.
    """
    ours, theirs = socket.socketpair()
    # As much as the host allows: passt drops what does not fit (native/egress-filter/backlog.h).
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    with theirs:
        argv = plan_passt(interface, binary=binary, descriptor=theirs.fileno(), log_file=log_file)
        process = spawn_identified(argv, log_file=log_file, pass_fds=(theirs.fileno(),))
    if process is None:
        ours.close()
        raise died_early(log_file)
    backend = Backend(process=process, world=ours, dns_protocols=find_dns_protocols(binary))
    limit_connections(backend, files=2)  # a timer for each of TCP
    await await_answer(backend, interface, log_file)
    return backend


@functools.cache
def find_dns_protocols(binary: str) -> tuple[str, ...]:
    """Return the protocols of which this passt sends DNS queries to the host's resolver.

    Since 2024 both; before, TCP would go to the nameserver's address in the host's network. The
    option that came with that, in the program's text, tells them apart; its version does not.
    """
    with contextlib.suppress(OSError):
        if b"--map-host-loopback" in Path(binary).read_bytes():
            return ("udp", "tcp")
    return ("udp",)
