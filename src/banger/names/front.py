"""The HTTP front: one port of the host's loopback, for the links of all VMs.

A client decides by the Host of each request which VM it reaches, so no request can reach another
than it names: an HTTP/1.1 request has a connection of its own into the guest (`http1.py`), and an
HTTP/2 connection stays with the VM that its first request names (`http2.py`).

Every program of this host, also another user's, can connect to its loopback, and so can pages that
its user's browser shows: the front asks nobody who they are. What a guest serves there is as open
as a server on this host's loopback is, and a page that a guest serves may ask another VM's server,
as any page of the internet may: such a server's own rules (CORS, Host, Origin) apply.
"""

from __future__ import annotations

import asyncio

from banger.names.guests import Find
from banger.names.pipes import HostSocket

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What an HTTP/2 client sends first (RFC 9113, section 3.4)."""
BEGINNING_S = 60.0
"""For a client to send its first bytes."""


async def serve_http(client: HostSocket, find: Find) -> None:
    """Serve one client to its end, in the protocol that it speaks.

    Raises:
        OSError, BangerError: the connection broke, or the client said nothing.
    """
    async with asyncio.timeout(BEGINNING_S):
        head = await _read_beginning(client)
    if head.startswith(PREFACE):
        from banger.names.http2 import serve_http2

        await serve_http2(client, PREFACE, head.removeprefix(PREFACE), find)
    elif head:
        from banger.names.http1 import serve_http1

        await serve_http1(client, head, find)


async def _read_beginning(client: HostSocket) -> bytes:
    """Read until it is known whether the client speaks HTTP/2; b"" if it says nothing."""
    head = b""
    while len(head) < len(PREFACE) and PREFACE.startswith(head):
        data = await client.read()
        if not data:
            break
        head += data
    return head
