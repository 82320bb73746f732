"""The user's own service manager: its presence, its lifetime, and the limits it can set.

`systemd --user` listens on a socket of its own wherever it runs; the session bus, which not every
host has, is not needed. Unless lingering is enabled, the manager ends with the user's last
session, and so do its units. On most distributions a session's processes outlive the session, so
moving a process to the manager must not shorten its life.

Reads /proc and /sys and looks for files; starts nothing, changes nothing. Standard library only:
`doctor` loads it.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct
from pathlib import Path

SOCKET = "systemd/private"
"""Path relative to the user's runtime directory."""
CONNECT_DEADLINE_S = 2.0
CGROUPS = Path("/sys/fs/cgroup")
LINGER = Path("/var/lib/systemd/linger")
"""Directory with a file for each user whose manager runs without a session (loginctl(1))."""
OWN = Path("/proc/self/cgroup")
CONTROLLERS = ("memory", "cpu", "pids")
"""Controllers that a VM's limits need."""


def find_service_manager(runtime: Path) -> Path | None:
    """Return the socket of the manager with this runtime directory, or None if there is none.

    Costs one stat(2).
    """
    path = runtime / SOCKET
    return path if path.is_socket() else None


def is_lasting(*, linger: Path = LINGER) -> bool:
    """Tell whether this user's manager keeps running after the user has logged out."""
    return (linger / pwd.getpwuid(os.getuid()).pw_name).exists()


def is_own_manager(cgroups: str) -> bool:
    """Tell whether this user's manager owns a process, given its /proc/PID/cgroup."""
    return f"/user@{os.getuid()}.service/" in cgroups


def may_move_children(*, own: Path = OWN, linger: Path = LINGER) -> bool:
    """Tell whether children may be moved to the manager without shortening their lives."""
    return is_own_manager(own.read_text("utf-8", "replace")) or is_lasting(linger=linger)


def read_peer(connection: socket.socket) -> int | None:
    """Return the pid of the manager at the other end; None if it must not be used.

    A manager in another pid namespace, whose runtime directory was passed into a container, would
    mistake pids of this namespace for other processes. The kernel reports its pid as 0.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    return pid if pid and uid == os.getuid() else None


def probe_controllers(manager: Path) -> tuple[str, ...] | None:
    """Return the `CONTROLLERS` that the manager may use; None if it cannot be reached."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(CONNECT_DEADLINE_S)
        try:
            connection.connect(os.fspath(manager))
            pid = read_peer(connection)
            if pid is None:
                return None
            own = parse_cgroup(Path(f"/proc/{pid}/cgroup").read_text("utf-8", "replace"))
        except OSError:
            return None
    names = _read_controllers(CGROUPS / own.lstrip("/"))
    return tuple(name for name in CONTROLLERS if name in names)


def _read_controllers(group: Path) -> list[str]:
    """Return the controllers of units beside a manager in this control group."""
    try:
        return (group.parent / "cgroup.controllers").read_text("ascii").split()
    except FileNotFoundError:
        return []  # control groups version 1: users have no controllers


def parse_cgroup(text: str) -> str:
    """Return a process's control group (v2) from the text of /proc/PID/cgroup; "/" if none."""
    lines = (line.partition("::") for line in text.splitlines())
    return next((path for number, _, path in lines if number == "0"), "/")
