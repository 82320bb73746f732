"""Find the process of this host that listens on a port or a socket. Reads /proc."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path

_STATES = {"tcp": "0A", "udp": "07"}
"""Of a socket that listens, and of one that is bound and not connected."""
_ACCEPTS = "00010000"
"""Flags of a Unix socket that listens (__SO_ACCEPTCON of the kernel)."""


def describe_listener(address: str, port: int, *, protocol: str = "tcp") -> str | None:
    """Return the process that keeps an address and port from being listened on, as `name (pid N)`.

    None: there is none, or it is another user's.
    """
    return _find_holder(set(_find_inodes(address, port, protocol)))


def describe_socket_listener(path: str) -> str | None:
    """Return the process that listens at a Unix socket, as `name (pid N)`, or None."""
    inodes: set[str] = set()
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/unix").read_text("utf-8", "surrogateescape").splitlines()[1:]:
            words = line.split(None, 7)  # the fourth are flags, the seventh the inode
            if words[3] == _ACCEPTS and words[7:] == [path]:
                inodes.add(words[6])
    return _find_holder(inodes)


def _find_holder(inodes: Collection[str]) -> str | None:
    """Return the process that holds one of these sockets."""
    sockets = {f"socket:[{inode}]" for inode in inodes}
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


def _find_inodes(address: str, port: int, protocol: str) -> Iterator[str]:
    for table in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text("ascii").splitlines()[1:]:
                local, _, state, *rest = line.split()[1:]
                host, _, hex_port = local.partition(":")
                is_bound = (state, int(hex_port, 16)) == (_STATES[protocol], port)
                if is_bound and _excludes(host, address):
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
