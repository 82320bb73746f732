"""A host whose file system is full (hazard A10).

The first command runs where the state directory is small, and starts the daemon, which stays
there with its VMMs; later commands reach it from outside by its socket.
"""

from __future__ import annotations

from tests.support.installations import Installation
from tests.support.namespaces import small_filesystem
from tests.support.vms import TINY


def test_no_space_for_a_vm(own: Installation) -> None:
    """A10, H6: the error says which file system is full; nothing half-made stays."""
    small = small_filesystem(own.layout.state.parent, "1m")
    options = (*TINY, "--network", "none", "--no-start", "--name", "one")
    ended = own.run("vm", "create", *options, "--disk", "64G", prefix=small)
    assert ended.status == 6, ended
    assert "is full" in ended.err and "hint: df -h" in ended.err
    assert own.run("vm", "show", "one").status == 4
    assert own.json("gc", "--dry-run") == []
    assert own.vm_processes() == []


def test_a_guest_that_fills_the_host(own: Installation) -> None:
    """A10: the guest's writes fail, and then it can be talked to as before; so can others."""
    small = small_filesystem(own.layout.state.parent, "40m")
    own.run("vm", "create", *TINY, "--network", "none", "--name", "one", prefix=small, status=0)
    try:
        # Direct: buffered writes to a disk that fails may wait in the kernel for good.
        fill = "dd if=/dev/urandom of=/root/big bs=1M count=200 oflag=direct"
        filled = own.exec("one", "sh", "-c", fill)
        assert filled.status == 1 and "error" in filled.err.lower(), filled
        assert own.exec("one", "echo", "alive", status=0).text == "alive"
        assert own.vm("one")["state"] == "running"
    finally:
        # Also without room for its own journal: deleting is how one gets space back.
        own.do("vm", "delete", "one")
    assert own.vm_processes() == []
    assert own.json("gc", "--dry-run") == []
