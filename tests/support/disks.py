"""What a guest that has ended left on its disk, read without a boot."""

from __future__ import annotations

from banger.host.programs import run_sync
from tests.support.installations import DEADLINE_S, Installation


def read_disk(banger: Installation, vm: str, path: str) -> str:
    """Return a file of an ended guest; with its journal the file system has to be whole."""
    view = banger.vm(vm)
    assert view["state"] == "stopped"
    disk = str(banger.layout.vm_data_disk(view["id"]))
    run_sync(["e2fsck", "-fp", disk], deadline_s=DEADLINE_S, ok=range(2))
    # Homes are directories of the disk; the rest is what the image's own file system lies below.
    place = "/native" if path.startswith("/root/") else "/overlay/upper"
    show = ["debugfs", "-R", f"cat {place}{path}", disk]
    return run_sync(show, deadline_s=DEADLINE_S).text
