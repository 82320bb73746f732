"""The nameservers that guests of a bridge ask: those of the host that other machines can reach.

Where the host asks one of its own (systemd-resolved on 127.0.0.53), that one's upstreams.
"""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address
from pathlib import Path

FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
MOST = 3
"""As many as a resolver asks (resolv.conf(5))."""


def find_nameservers(files: tuple[Path, ...] = FILES) -> tuple[str, ...]:
    """Return the nameservers of the first file that names some."""
    for path in files:
        with contextlib.suppress(OSError):
            found = parse_nameservers(path.read_text("utf-8", "replace"))
            if found:
                return found
    return ()


def parse_nameservers(untrusted_text: str) -> tuple[str, ...]:
    """Return the nameservers in a resolv.conf(5) that a guest can ask."""
    found = []
    for line in untrusted_text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            with contextlib.suppress(ValueError):
                found.append(IPv4Address(words[1]))
    return tuple(str(each) for each in found if not each.is_loopback)[:MOST]
