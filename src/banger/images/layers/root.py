"""What a guest needs of a root, looked up in the merged tree. Pure."""

from __future__ import annotations

import stat

from banger.errors import ImageInvalid, ImageUnsupported
from banger.images.layers.entries import Entry
from banger.images.layers.tree import Directory, Tree, path_of

API_MOUNTS = (b"dev", b"proc", b"sys")
"""The agent mounts the kernel's file systems here, and makes those that are missing."""
INIT = b"sbin/init"
SYSTEMD = b"lib/systemd/systemd"


def require_mount_points(tree: Tree) -> None:
    """Check that the kernel's file systems can be mounted in the root.

    Raises:
        ImageUnsupported: a file or a link is in the place of a mount point.
    """
    for name in API_MOUNTS:
        if not isinstance(tree.root.children.get(name, tree.root), Directory):
            raise ImageUnsupported(
                f"/{name.decode()} in the image is not a directory; a VM cannot boot from it."
            )


def find_init(tree: Tree) -> str | None:
    """Return the path of the image's init if it is systemd.

    Other inits are not started: busybox, for one, has an init among its many names and nothing for
    the init to start.
    """
    try:
        found = tree.find(INIT)
    except ImageInvalid:
        return None  # a loop of links
    if found is None or isinstance(found[0], Directory):
        return None
    entry, directory, name = found
    assert isinstance(entry, Entry)
    is_systemd = path_of(directory, name).endswith(SYSTEMD) and stat.S_ISREG(entry.kind)
    return "/" + INIT.decode() if is_systemd else None


def has_program(tree: Tree) -> bool:
    """Tell whether the root has any file that can be executed."""
    waiting = [tree.root]
    while waiting:
        for node in waiting.pop().children.values():
            if isinstance(node, Directory):
                waiting.append(node)
            elif stat.S_ISREG(node.kind) and node.size and node.mode & 0o111:
                return True
    return False
