"""Places of the host's loopback that no test, and no VM, takes at the same time."""

from __future__ import annotations

import contextlib
import os
import socket


def own_address() -> str:
    """Return a loopback address of this process alone."""
    pid = os.getpid()
    return f"127.{100 + (pid >> 16)}.{pid >> 8 & 255}.{pid & 255}"


def free_udp_port() -> int:
    """Return a port that nobody receives datagrams at, on any address."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        port: int = sock.getsockname()[1]
        return port


def free_front_port(*but: int) -> int:
    """Return a port that is free in both families, and none of those for clients, nor of `but`."""
    for port in range(20000 + os.getpid() % 10000, 32000):
        if port in but:
            continue
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                stack.enter_context(socket.socket(family)).bind((address, port))
            return port
    raise AssertionError("no port is free")
