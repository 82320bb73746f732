"""Have this host's resolver forward names under `vm` to banger's DNS server.

Reads the resolver's configuration and changes nothing. What the plans say is done by `setup --dns`:
a file of its own in the resolver's directory is written or removed, and the resolver reads its
files again. No file of anybody else's is changed. If the process dies between the two, or the
resolver does not start, the next `setup --dns`, or `--remove`, has the files read again.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MARK = "# Made by `banger setup --dns`; `banger setup --dns --remove` removes it.\n"
"""First line of the file, by which it is known to be banger's."""
RESOLVED_PROGRAM = "usr/lib/systemd/systemd-resolved"
STUBS = ("127.0.0.53", "127.0.0.54")
"""Where systemd-resolved listens."""
LOCAL = ("127.0.0.1", "::1")


class Resolver(StrEnum):
    """A resolver that can forward one domain; the value is its usual name."""

    DELEGATE = "systemd-resolved 258 or newer"
    RESOLVED = "systemd-resolved"
    NETWORK_MANAGER = "NetworkManager with dnsmasq"
    DNSMASQ = "dnsmasq"


@dataclass(frozen=True)
class _Way:
    """The configuration file that makes a resolver forward names under `vm`."""

    path: str
    content: str
    """With {port}."""
    reload: tuple[str, ...]


_DNSMASQ = """\
server=/vm/127.0.0.1#{port}
rev-server=127.77.0.0/16,127.0.0.1#{port}
rebind-domain-ok=/vm/
"""
_WAYS = {
    # systemd.dns-delegate(5), systemd 258.
    Resolver.DELEGATE: _Way(
        "etc/systemd/dns-delegate.d/banger.dns-delegate",
        "[Delegate]\nDNS=127.0.0.1:{port}\nDomains=~vm ~77.127.in-addr.arpa\n",
        ("systemctl", "restart", "systemd-resolved"),
    ),
    # resolved.conf(5): `~` sends lookups below the domain there, and makes it no search domain.
    Resolver.RESOLVED: _Way(
        "etc/systemd/resolved.conf.d/banger.conf",
        "[Resolve]\nDNS=127.0.0.1:{port}\nDomains=~vm ~77.127.in-addr.arpa\n",
        ("systemctl", "restart", "systemd-resolved"),
    ),
    Resolver.NETWORK_MANAGER: _Way(
        "etc/NetworkManager/dnsmasq.d/banger.conf",
        _DNSMASQ,
        ("systemctl", "restart", "NetworkManager"),
    ),
    # dnsmasq(8): names of these hosts may be answered with loopback addresses.
    Resolver.DNSMASQ: _Way(
        "etc/dnsmasq.d/banger.conf", _DNSMASQ, ("systemctl", "restart", "dnsmasq")
    ),
}


@dataclass(frozen=True)
class Delegation:
    """A file that tells the resolver, and the commands that put it into force."""

    resolver: Resolver
    path: Path
    content: str
    is_there: bool
    """The file says so already."""
    replaced: str | None
    """What it says instead, such as another user's port."""
    reload: tuple[str, ...]


def probe_resolver(root: Path = Path("/")) -> Resolver | None:
    """Return the program that answers this host's lookups; None: one that cannot forward."""
    servers = set(_read_servers(root))
    runs_resolved = (root / "run/systemd/resolve/stub-resolv.conf").exists()
    if runs_resolved and (servers & {*STUBS} or _asks_resolved(root)):
        return Resolver.DELEGATE if _reads_delegates(root) else Resolver.RESOLVED
    if not servers & {*LOCAL}:
        return None
    if (root / "run/NetworkManager").exists() and _manages_dnsmasq(root):
        return Resolver.NETWORK_MANAGER
    return Resolver.DNSMASQ if (root / "etc/dnsmasq.d").is_dir() else None


def plan_delegation(resolver: Resolver, port: int, root: Path = Path("/")) -> Delegation:
    """Return the delegation by which a resolver asks the server at this port."""
    way = _WAYS[resolver]
    path = root / way.path
    content = MARK + way.content.format(port=port)
    found = _read(path)
    return Delegation(
        resolver,
        path,
        content,
        is_there=found == content,
        replaced=found if found != content else None,
        reload=way.reload,
    )


def find_reload(resolver: Resolver) -> tuple[str, ...]:
    """Return the command by which a resolver reads its files again."""
    return _WAYS[resolver].reload


def plan_removal(root: Path = Path("/")) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield each file that `setup --dns` has made, and the command after its removal."""
    for way in _WAYS.values():
        path = root / way.path
        if (_read(path) or "").startswith(MARK):
            yield path, way.reload


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return None


def _read_servers(root: Path) -> Iterator[str]:
    """Yield the addresses that the C library asks."""
    for line in (_read(root / "etc/resolv.conf") or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            yield words[1]


def _asks_resolved(root: Path) -> bool:
    """Tell whether the C library asks systemd-resolved without DNS (nss-resolve)."""
    hosts = re.search(r"^hosts:(.*)$", _read(root / "etc/nsswitch.conf") or "", re.MULTILINE)
    return hosts is not None and "resolve" in hosts[1].split()


def _manages_dnsmasq(root: Path) -> bool:
    folders = (root / "etc/NetworkManager", root / "usr/lib/NetworkManager")
    files = [file for folder in folders for file in (folder, *folder.glob("conf.d"))]
    return any(
        re.search(r"^\s*dns\s*=\s*dnsmasq\s*$", _read(file) or "", re.MULTILINE)
        for folder in files
        for file in folder.glob("*.conf")
    )


def _reads_delegates(root: Path) -> bool:
    """Tell whether systemd-resolved knows of delegates, as it does from systemd 258 on.

    By the directory's name in the program: one that is installed but not started yet, as after
    an upgrade, reads them when it is restarted, which is what `reload` does.
    """
    with contextlib.suppress(OSError):
        return b"systemd/dns-delegate.d" in (root / RESOLVED_PROGRAM).read_bytes()
    return False


def look_up(name: str) -> str | None:
    """Return the IPv4 address that programs of this host get for a name; None: they get none.

    By the C library, as `getent hosts` does. (`getent ahosts` would find none where no interface
    but the loopback has an address.)
    """
    try:
        return socket.gethostbyname(name)
    except OSError:
        return None
