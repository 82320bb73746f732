"""Which process of this host listens on a TCP port. Reads /proc; changes nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path

_LISTEN = "0A"
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def describe_listener(address: str, port: int) -> str | None:
    """Return the process that keeps an address and port from being listened on, as `name (pid N)`.

    None: there is none, or it is another user's.
    """
    sockets = {f"socket:[{inode}]" for inode in _find_inodes(address, port)}
    if not sockets:
        return None
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            folder = f"/proc/{pid}/fd"
            if any(os.readlink(f"{folder}/{fd}") in sockets for fd in os.listdir(folder)):
                return f"{_read_name(pid)} (pid {pid})"
    return None


def _read_name(pid: str) -> str:
    untrusted_name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    return "".join(c if c.isprintable() else "?" for c in untrusted_name)


def _find_inodes(address: str, port: int) -> Iterator[str]:
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text("ascii").splitlines()[1:]:
                local, _, state, *rest = line.split()[1:]
                host, _, hex_port = local.partition(":")
                if state == _LISTEN and int(hex_port, 16) == port and _excludes(host, address):
                    yield rest[5]


def _excludes(hex_host: str, address: str) -> bool:
    """Tell whether a socket bound to an address of /proc/net excludes another at `address`."""
    words = [int(hex_host[i : i + 8], 16) for i in range(0, len(hex_host), 8)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    bound, wanted = ip_address(packed), ip_address(address)
    if isinstance(bound, IPv6Address):
        if bound == IPv6Address("::"):
            return True
        bound = bound.ipv4_mapped or bound
    return bound.is_unspecified or wanted.is_unspecified or bound == wanted
