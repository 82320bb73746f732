"""A host whose file system is full (hazard A10).

The state directory is a small tmpfs in a mount namespace of its own. The first command runs in
there and starts the daemon, which stays there with its VMMs, as the same user as ever; later
commands reach it from outside by its socket.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.installations import Installation, require_tool
from tests.support.vms import TINY

INSIDE = """
set -e
mount -t tmpfs -o "size=$1,mode=700" banger-test "$2"
user=$3 group=$4
shift 4
exec unshare --user --map-user="$user" --map-group="$group" -- "$@"
"""


def cramped(directory: Path, size: str) -> list[str]:
    """Return what goes before a command to make `directory` small for it."""
    unshare = require_tool("unshare")
    shell = [unshare, "--user", "--map-root-user", "--mount", "sh", "-c", INSIDE, "sh"]
    return [*shell, size, str(directory), str(os.getuid()), str(os.getgid())]


def test_no_space_for_a_vm(own: Installation) -> None:
    """A10, H6: the error says which file system is full; nothing half-made stays."""
    small = cramped(own.layout.state.parent, "1m")
    options = (*TINY, "--network", "none", "--no-start", "--name", "one")
    ended = own.run("vm", "create", *options, "--disk", "64G", prefix=small)
    assert ended.status == 6, ended
    assert "is full" in ended.err and "hint: df -h" in ended.err
    assert own.run("vm", "show", "one").status == 4
    assert own.json("gc", "--dry-run") == []
    assert own.vm_processes() == []


def test_a_guest_that_fills_the_host(own: Installation) -> None:
    """A10: the guest's writes fail, and then it can be talked to as before; so can others."""
    small = cramped(own.layout.state.parent, "40m")
    own.run("vm", "create", *TINY, "--network", "none", "--name", "one", prefix=small, status=0)
    try:
        fill = "head -c 200M /dev/urandom >/root/big && sync /root/big"
        assert own.exec("one", "sh", "-c", fill).status not in (0, 125)
        assert own.exec("one", "echo", "alive", status=0).text == "alive"
        assert own.vm("one")["record"]["state"] == "running"
    finally:
        own.do("vm", "delete", "one")
    assert own.vm_processes() == []
