"""Connect to a port or a socket in a guest, in the address family of its server."""

from __future__ import annotations

import os
from collections.abc import Iterable

from banger.errors import GuestRefused
from banger.forwards.ends import LOOPBACKS, GuestEnd, GuestSocket
from banger.guest import GuestConnection, GuestTcp, connect_tcp, connect_unix


async def connect_guest_end(connection: GuestConnection, end: GuestEnd) -> GuestTcp:
    """Connect to a TCP port or, as root, to a Unix socket of the guest.

    Waits as long as it takes: a guest may be paused. Use the result in an `async with`.

    Raises:
        GuestRefused: nothing listens there.
        GuestGone: the VM ended.
    """
    if isinstance(end, GuestSocket):
        return await connect_unix(connection, os.fsencode(end.path), deadline_s=None)
    return await connect_guest_port(connection, end.port, hosts=end.hosts)


async def connect_guest_port(
    connection: GuestConnection, port: int, *, hosts: Iterable[str] = LOOPBACKS
) -> GuestTcp:
    """Connect to a TCP port of the guest: to the first of these addresses that accepts (I1, I2).

    Raises:
        GuestRefused: no address accepted; of the last one.
        GuestGone: the VM ended.
    """
    refusal = GuestRefused(f"No address of the guest is known for port {port}.")
    for host in hosts:
        try:
            return await connect_tcp(connection, host, port, deadline_s=None)
        except GuestRefused as error:
            if error.guest_code not in ("refused", "unreachable"):
                raise
            refusal = error
    raise refusal
