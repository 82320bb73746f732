"""Rows of published ports: kept until the VM is deleted, in any state (I3).

An endpoint or a path of the host belongs to one VM at most (C6). They are texts here, such as
`tcp:127.0.0.1:8080`, `udp:0.0.0.0:53` and `unix:/home/user/app.sock`; `banger.forwards` parses
them.
"""

from __future__ import annotations

import sqlite3

from banger.errors import PortTaken
from banger.model.names import VmId


def publish_port(connection: sqlite3.Connection, vm_id: VmId, *, host: str, guest: str) -> None:
    """Save that a guest's port appears at an endpoint of the host.

    Raises:
        PortTaken: the endpoint is published already.
    """
    owner = load_publishers(connection).get(host)
    if owner is not None:
        raise port_published(host, owner)
    connection.execute("INSERT INTO published_ports VALUES (?, ?, ?)", (host, guest, vm_id))


def port_published(host: str, owner: str) -> PortTaken:
    """Return the error for an endpoint that a VM has published."""
    protocol, _, place = host.partition(":")
    shown = f"{place}/udp" if protocol == "udp" else place
    return PortTaken(
        f"The VM {owner} already publishes {shown}.", hint=f"banger vm port list {owner}"
    )


def load_publishers(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the name of the VM of each published endpoint of the host."""
    rows = connection.execute("SELECT host, name FROM published_ports JOIN vms ON id = vm_id")
    return {str(row["host"]): str(row["name"]) for row in rows}


def load_published(connection: sqlite3.Connection, vm_id: VmId) -> dict[str, str]:
    """Return a VM's published ports: the guest's ends by the host's."""
    rows = connection.execute(
        "SELECT host, guest FROM published_ports WHERE vm_id = ? ORDER BY host", (vm_id,)
    )
    return {str(row["host"]): str(row["guest"]) for row in rows}


def unpublish_port(connection: sqlite3.Connection, vm_id: VmId, *, host: str) -> None:
    """Delete a VM's published port; do nothing if it is absent."""
    connection.execute("DELETE FROM published_ports WHERE vm_id = ? AND host = ?", (vm_id, host))
