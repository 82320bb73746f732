"""Whether an address is the host's own: its kernel is asked where a packet would go (rtnetlink(7)).

As native/egress-filter/own.c does, and for the same reason: no list is complete.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from ipaddress import IPv4Address

_MESSAGE = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=8BI")
_GET_ROUTE, _NEW_ROUTE, _REQUEST = 26, 24, 1
_DESTINATION, _ATTRIBUTE_BYTES = 1, 8
_UNICAST = 1


def is_own(address: IPv4Address) -> bool:
    """Tell whether packets to an address stay on this host, or lead nowhere, as far as is known."""
    length = _MESSAGE.size + _ROUTE.size + _ATTRIBUTE_BYTES
    with (
        contextlib.suppress(OSError),  # there is no answer: as if it were the host's
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel,
    ):
        kernel.send(
            _MESSAGE.pack(length, _GET_ROUTE, _REQUEST, 1, 0)
            + _ROUTE.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0)
            + struct.pack("=HH4s", _ATTRIBUTE_BYTES, _DESTINATION, address.packed)
        )
        answer = kernel.recv(4096)
        if _MESSAGE.unpack_from(answer)[1] == _NEW_ROUTE:
            return bool(_ROUTE.unpack_from(answer, _MESSAGE.size)[7] != _UNICAST)
    return True
