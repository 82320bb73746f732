"""What a guest that has ended left on its disk, read without a boot."""

from __future__ import annotations

from banger.host.programs import run_sync
from tests.support.installations import DEADLINE_S, Installation


def read_disk(banger: Installation, vm: str, path: str) -> str:
    """Return a file of an ended guest; with its journal the file system has to be whole."""
    run_sync(["e2fsck", "-fp", _find_disk(banger, vm)], deadline_s=DEADLINE_S, ok=range(2))
    # Homes are directories of the disk; the rest is what the image's own file system lies below.
    place = "/native" if path.startswith("/root/") else "/overlay/upper"
    return _ask(banger, vm, f"cat {place}{path}")


def is_removed(banger: Installation, vm: str, path: str) -> bool:
    """Tell whether an ended guest has removed a file of its image."""
    # Its whiteout (overlayfs.rst, "whiteouts and opaque directories").
    return "Type: character special" in _ask(banger, vm, f"stat /overlay/upper{path}")


def _find_disk(banger: Installation, vm: str) -> str:
    view = banger.vm(vm)
    assert view["state"] == "stopped"
    return str(banger.layout.vm_data_disk(view["id"]))


def _ask(banger: Installation, vm: str, request: str) -> str:
    """Return what debugfs(8) says."""
    command = ["debugfs", "-R", request, _find_disk(banger, vm)]
    return run_sync(command, deadline_s=DEADLINE_S).text
