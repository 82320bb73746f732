"""The user's own service manager: whether there is one, how long it lives, what it may limit.

`systemd --user` listens on a socket of its own wherever it runs; the session bus, which not every
host has, is not needed. Unless its user lingers it ends with the user's last session, and so does
all that it keeps. Most distributions let what a session started go on after it, so a process is
not to be moved into its hands for a shorter life than it had.

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
"""Below the user's runtime directory."""
CONNECT_DEADLINE_S = 2.0
CGROUPS = Path("/sys/fs/cgroup")
LINGER = Path("/var/lib/systemd/linger")
"""A file for each user whose manager runs without a session (loginctl(1))."""
OWN = Path("/proc/self/cgroup")
CONTROLLERS = ("memory", "cpu", "pids")
"""What a VM's limits need."""


def find_service_manager(runtime: Path) -> Path | None:
    """Return the socket of the manager whose runtime directory this is; None: there is none.

    Costs one look for a file.
    """
    path = runtime / SOCKET
    return path if path.is_socket() else None


def is_lasting(*, linger: Path = LINGER) -> bool:
    """Tell whether this user's manager goes on when the user has logged out."""
    return (linger / pwd.getpwuid(os.getuid()).pw_name).exists()


def is_own_manager(cgroups: str) -> bool:
    """Tell whether a process, by its /proc/PID/cgroup, is in the hands of this user's manager."""
    return f"/user@{os.getuid()}.service/" in cgroups


def may_move_children(*, own: Path = OWN, linger: Path = LINGER) -> bool:
    """Tell whether what we start may be given to the manager: it lives no shorter for that."""
    return is_own_manager(own.read_text("utf-8", "replace")) or is_lasting(linger=linger)


def read_peer(connection: socket.socket) -> int | None:
    """Return the pid of the manager at the other end; None if it is not ours to ask.

    One in another process namespace, whose runtime directory was passed into a container, would
    take our pids for those of other processes: the kernel then gives its own as 0.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    return pid if pid and uid == os.getuid() else None


def probe_controllers(manager: Path) -> tuple[str, ...] | None:
    """Return which of `CONTROLLERS` the manager may use; None if it does not answer us."""
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
    """Return what units beside a manager that is in this group may be limited in."""
    try:
        return (group.parent / "cgroup.controllers").read_text("ascii").split()
    except FileNotFoundError:
        return []  # control groups of before version 2: no user may


def parse_cgroup(text: str) -> str:
    """Return a process's control group (v2) from what /proc/PID/cgroup says; "/" without one."""
    lines = (line.partition("::") for line in text.splitlines())
    return next((path for number, _, path in lines if number == "0"), "/")
