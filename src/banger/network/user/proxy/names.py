"""The synthetic addresses that stand for names. Pure.

An address is made of the name's hash, so that a fork, or a VM that was restarted, has the same for
the names that its guest remembers; one that is taken already moves on to the next.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address

from banger.network.egress.policy import SYNTHETIC

FIRST, LAST = 256, SYNTHETIC.num_addresses - 2
"""Proxies of the host that do as we do have the network's first addresses for themselves."""
NAMES_MAX = 16384
"""Names that a guest may have asked for, under wildcards; others are not answered."""


class Names:
    """Names and their addresses."""

    def __init__(self) -> None:
        self._addresses: dict[str, IPv4Address] = {}
        self._names: dict[IPv4Address, str] = {}

    def find_name(self, address: IPv4Address) -> str | None:
        """Return what an address stands for."""
        return self._names.get(address)

    def give_address(self, name: str) -> IPv4Address | None:
        """Return a name's address, the same each time; None: there are too many names."""
        if name in self._addresses:
            return self._addresses[name]
        if len(self._addresses) >= NAMES_MAX:
            return None
        digest = hashlib.sha256(name.encode("ascii")).digest()
        place = int.from_bytes(digest[:8], "big") % (LAST - FIRST)
        while (address := SYNTHETIC[FIRST + place]) in self._names:
            place = (place + 1) % (LAST - FIRST)
        self._addresses[name], self._names[address] = address, name
        return address
