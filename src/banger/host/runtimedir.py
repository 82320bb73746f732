"""Which installation the runtime directory serves: a link in it names the state directory.

Installations with different state directories, as of two values of HOME, can have the same runtime
directory, and then the paths of their daemons' sockets are the same. Clients must not reach the
other's daemon, nor `gc` remove the other's VMs' directories. So a daemon makes the link when it
listens, and does not start while another installation's daemon or VMs use the directory.

The link outlives the daemon. If its installation has neither a daemon nor VMs any more, the next
daemon replaces it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

from banger.errors import RuntimeDirectoryTaken
from banger.host.lockholder import is_held, read_holder
from banger.host.socketfiles import can_connect
from banger.layout import Layout


def require_own_daemon(layout: Layout, path: str) -> None:
    """Check that our installation's daemon listens on `path`.

    The holder of our lock is our daemon whatever the link says: one of an older version makes none,
    one that begins to listen has not made it yet, and its state directory may be spelled otherwise.

    Raises:
        RuntimeDirectoryTaken: another process listens there.
    """
    link = Path(path).with_name(layout.state_link.name)
    with contextlib.suppress(OSError):
        if os.readlink(link) == layout.state_name:
            return
    with contextlib.suppress(OSError):
        if is_held(layout) and os.path.samefile(read_holder(layout)[1], path):
            return
    if can_connect(Path(path)):  # else it has just ended, as the client notices by itself
        raise _taken(layout, link)


def require_unused(layout: Layout) -> None:
    """Check that no other installation uses the runtime directory; to be called by a daemon.

    Raises:
        RuntimeDirectoryTaken: another one has a daemon or VMs there.
    """
    link = layout.state_link
    with contextlib.suppress(OSError):
        if os.path.samefile(link, layout.state):
            return
    # The VMs of an installation whose state directory was removed are leftovers.
    if link.exists() and (can_connect(layout.daemon_socket) or _has_vms(layout)):
        raise _taken(layout, link)


def link_state(layout: Layout) -> None:
    """Make the link, or replace another installation's. The caller must own the socket."""
    link = layout.state_link
    if not link.is_symlink() or os.readlink(link) != layout.state_name:
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(layout.state_name)


def _has_vms(layout: Layout) -> bool:
    directories = layout.runtime / "vms"
    return directories.is_dir() and any(directories.iterdir())


def _taken(layout: Layout, link: Path) -> RuntimeDirectoryTaken:
    owner = os.readlink(link) if link.is_symlink() else "another installation"
    return RuntimeDirectoryTaken(
        f"The runtime directory {link.parent} is used by {owner}, not by {layout.state_name}.",
        hint=f"XDG_RUNTIME_DIR={shlex.quote(f'{layout.state_name}/run')} banger daemon restart",
    )
