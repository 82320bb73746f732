"""The front's host key, and the file by which clients know it.

Made once for an installation. Both are written anew when they do not fit each other, so that a
file that was lost never looks like a changed host (hazard G3).
"""

from __future__ import annotations

import asyncssh

from banger.api.ssh import ALIAS
from banger.host.files import ensure_private_dir, write_atomic
from banger.layout import Layout

ALGORITHM = "ssh-ed25519"


def ensure_host_key(layout: Layout) -> asyncssh.SSHKey:
    """Return the host key; make it, or the file of known hosts, where there is none."""
    ensure_private_dir(layout.ssh_host_key.parent)
    key = _find_host_key(layout)
    if key is None:
        key = asyncssh.generate_private_key(ALGORITHM)
        write_atomic(layout.ssh_host_key, key.export_private_key())
    line = ALIAS.encode("ascii") + b" " + key.export_public_key()
    if not layout.ssh_known_hosts.exists() or layout.ssh_known_hosts.read_bytes() != line:
        write_atomic(layout.ssh_known_hosts, line)
    return key


def _find_host_key(layout: Layout) -> asyncssh.SSHKey | None:
    try:
        return asyncssh.read_private_key(layout.ssh_host_key)
    except (OSError, asyncssh.KeyImportError):
        return None
