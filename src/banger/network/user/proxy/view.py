"""What the egress proxy's jail shows of the host: an interpreter, its packages, and the resolver.

Reads where this process has its own. Of the user's directories nothing is shown but what of these
is there; each package is at a place of the jail's own.

/etc is shown as a whole: a file that is shown by itself stays what it was when the jail was made,
and resolv.conf and hosts are replaced while VMs run, as when the host changes its network.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from banger.network.user.argv import RESOLVER

PACKAGES = "/packages"
NEEDED = ("banger", "h11", "msgspec")
RESOLVERS = ("/run/systemd/resolve", "/run/avahi-daemon", "/run/nscd")
"""Where programs that resolve names have their sockets (nsswitch.conf(5))."""


def find_python() -> str:
    """Return the interpreter, outside of any virtual environment."""
    return str(Path(sys._base_executable).resolve())  # type: ignore[attr-defined]  # not in typeshed


def list_shown() -> Iterator[tuple[str, str]]:
    """Yield each file and directory that is shown besides the system's, and where."""
    prefix = Path(sys.base_prefix).resolve()
    if not prefix.is_relative_to("/usr"):
        yield str(prefix), str(prefix)
    for name in NEEDED:
        yield find_package(name), f"{PACKAGES}/{name}"
    for path in ("/etc", *RESOLVERS, *find_configuration(RESOLVER)):
        yield path, path


def find_package(name: str) -> str:
    """Return the directory of a package."""
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.submodule_search_locations
    return found.submodule_search_locations[0]


def find_configuration(resolver: str) -> Iterator[str]:
    """Yield where the resolver's configuration really is, if that is not in /etc."""
    path = Path(resolver).resolve()
    if Path("/run") in path.parent.parents:
        yield str(path.parent)
    elif not path.is_relative_to("/etc"):
        yield str(path)
