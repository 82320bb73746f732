"""The merge: layers applied to a tree in memory, by the rules of the OCI image specification. Pure.

For each layer, from the lowest up:

1. Its whiteouts hide what lower layers have, whatever their place in the tar: `.wh.NAME` one
   name, `.wh..wh..opq` all names of its directory. They never reach the tree.
2. Its entries are placed in their order: an entry replaces what has its name, also one of
   the same layer; a directory that meets a directory only gives it its attributes.

Parents that are symbolic links are followed inside the root, as overlayfs or a chroot would show
them; missing ones are made. A hard link may name what a lower layer has even if this one hides
it. A link's own attributes do not count. umoci does the same in all of this.

What overlayfs would obey is refused: the guest mounts the root with it, so the layers would not be
all that says what is in the root. Only in directories that guests have beside the overlay, as
container stores are, it is kept as it is.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence

from banger.errors import ImageInvalid, ImageUnsupported
from banger.images.layers.entries import AUFS, LINK, OPAQUE, WHITEOUT, Entry
from banger.images.layers.limits import SYMLINKS_MAX, Budget
from banger.tar.format import PATH_BYTES_MAX, shown


class Directory:
    """A directory of the tree. `hidden` is what the layer that is being applied hides of it."""

    __slots__ = ("children", "entry", "hidden", "length", "name", "parent")

    def __init__(self, entry: Entry, parent: Directory | None, name: bytes) -> None:
        self.entry = entry
        self.parent = parent
        self.name = name
        self.length = _require_length(parent, name)
        """Of its path; through links it may be longer than any name of a layer."""
        self.children: dict[bytes, Node] = {}
        self.hidden: dict[bytes, Node] | None = None


Node = Directory | Entry
"""An entry that is no directory is its own inode: hard links are names of the same one."""
Found = tuple[Node, Directory, bytes]
"""A node, and the directory and the name that it was found under."""


class Tree:
    """The file system so far."""

    def __init__(self, budget: Budget, stores: Sequence[bytes] = ()) -> None:
        """`stores` are directories that guests have beside the overlay."""
        self._stores = tuple(store.strip(b"/") + b"/" for store in stores)
        self.root = Directory(_implied(mtime=0), None, b"")
        self._budget = budget
        self._hiding: list[Directory] = []

    def apply_layer(self, entries: list[Entry], layer: int) -> None:
        """Put a layer on top. The entries are the tree's from now on.

        Raises:
            ImageInvalid: the layer contradicts itself or those below.
        """
        contents = [entry for entry in entries if WHITEOUT not in entry.path or _is_content(entry)]
        if len(contents) < len(entries):
            self._hide(entries)
        for entry in contents:
            self._place(entry, layer)
        for directory in self._hiding:
            directory.hidden = None
        self._hiding.clear()

    def find(self, path: bytes) -> Found | None:
        """Return what a path leads to, links followed."""
        return self._walk(path.split(b"/"), follow_last=True)

    def ensure_directory(self, path: bytes) -> None:
        """Make a directory, with its parents, unless something is there."""
        if self.find(path) is None:
            self._make_directories(path.split(b"/"), mtime=self.root.entry.mtime)

    # --- whiteouts -------------------------------------------------------------------

    def _hide(self, entries: list[Entry]) -> None:
        replaced = self._find_replaced(entries)
        for entry in entries:
            *above, name = entry.path.split(b"/")
            if not name.startswith(WHITEOUT) or any(part.startswith(AUFS) for part in above):
                continue
            if name != OPAQUE and name.startswith(AUFS):
                continue
            hidden = name.removeprefix(WHITEOUT)
            if hidden in (b"", b".", b".."):
                raise ImageInvalid(
                    f"A layer has the whiteout {shown(entry.path)}, which names no file."
                )
            found = self._walk(above, follow_last=True, barred=replaced)
            if found is not None and isinstance(found[0], Directory):
                _hide_names(found[0], None if name == OPAQUE else hidden, self._hiding)

    def _find_replaced(self, entries: list[Entry]) -> set[int]:
        """Return the links of lower layers that become directories: what is below is not theirs."""
        replaced = set()
        for entry in entries:
            if entry.kind == stat.S_IFDIR:
                found = self._walk(entry.path.split(b"/"), follow_last=False)
                if found is not None and isinstance(found[0], Entry):
                    replaced.add(id(found[0]))
        return replaced

    # --- entries ---------------------------------------------------------------------

    def _place(self, entry: Entry, layer: int) -> None:
        path, entry.path = entry.path, b""  # the tree has the names; it would have them twice
        if not path:
            if entry.kind != stat.S_IFDIR:
                raise ImageInvalid("The root of a layer is not a directory.")
            self.root.entry = entry
            return
        *above, name = path.split(b"/")
        linked = self._find_link_target(entry, path) if entry.kind == LINK else None
        parent = self._make_directories(above, mtime=entry.mtime)
        _require_length(parent, name)
        if (linked or entry).is_overlay:
            self._require_store(parent, name)
        present = parent.children.get(name)
        if entry.kind == stat.S_IFDIR:
            if isinstance(present, Directory):
                present.entry = entry
            else:
                parent.children[name] = Directory(entry, parent, name)
        elif linked is None:
            entry.layer = layer
            parent.children[name] = entry
        elif linked is present:
            raise ImageInvalid(f"A layer has the hard link {shown(path)} to itself.")
        else:
            parent.children[name] = linked

    def _require_store(self, parent: Directory, name: bytes) -> None:
        """Check that what means something to overlayfs is where the overlay is not.

        Raises:
            ImageUnsupported: it is not.
        """
        path = path_of(parent, name)
        if not path.startswith(self._stores):
            raise ImageUnsupported(
                f"{shown(path)} in a layer is an overlayfs whiteout, or has overlayfs attributes."
            )

    def _find_link_target(self, entry: Entry, path: bytes) -> Entry:
        parts = entry.link.split(b"/")
        found = self._walk(parts, follow_last=False)
        if found is None:
            found = self._walk(parts, follow_last=False, hidden=True)
        if found is None or isinstance(found[0], Directory):
            what = "a directory" if found else "nothing"
            raise ImageInvalid(
                f"A layer has the hard link {shown(path)} to {shown(entry.link)}, which is {what}."
            )
        return found[0]

    def _make_directories(self, parts: list[bytes], *, mtime: int) -> Directory:
        """Return the directory of this name, made with its parents if it is missing.

        Raises:
            ImageInvalid: something that is no directory is in the way.
        """
        directory = self.root
        for part in parts:
            following = directory.children.get(part)
            if not isinstance(following, Directory):
                following = self._enter(directory, part, mtime=mtime)
            directory = following
        return directory

    def _enter(self, directory: Directory, part: bytes, *, mtime: int) -> Directory:
        """Return what a name that is no directory leads to: through links, or newly made."""
        todo, hops = [part], 0
        while todo:
            part = todo.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                directory = directory.parent or directory
                continue
            node = directory.children.get(part)
            if node is None:
                self._budget.take_entry(len(part))
                node = directory.children[part] = Directory(_implied(mtime=mtime), directory, part)
            if isinstance(node, Directory):
                directory = node
            elif stat.S_ISLNK(node.kind):
                hops += 1
                directory = self._follow(node, directory, todo, hops)
            else:
                raise ImageInvalid(
                    f"A layer has files below {shown(path_of(directory, part))}, which is "
                    "not a directory."
                )
        return directory

    # --- walking ---------------------------------------------------------------------

    def _walk(
        self,
        parts: list[bytes],
        *,
        follow_last: bool,
        hidden: bool = False,
        barred: set[int] | None = None,
    ) -> Found | None:
        """Return what a path leads to; None where a part is missing or no directory.

        `hidden`: see also what is hidden. `barred`: links that lead nowhere.
        """
        found: Found = (self.root, self.root, b"")
        directory = self.root
        todo, hops = parts[::-1], 0
        while todo:
            part = todo.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                directory = directory.parent or directory
                found = (directory, directory.parent or directory, directory.name)
                continue
            node = directory.children.get(part)
            if node is None and hidden and directory.hidden is not None:
                node = directory.hidden.get(part)
            if node is None:
                return None
            found = (node, directory, part)
            if isinstance(node, Directory):
                directory = node
            elif todo or (follow_last and stat.S_ISLNK(node.kind)):
                if not stat.S_ISLNK(node.kind) or (barred and id(node) in barred):
                    return None
                hops += 1
                directory = self._follow(node, directory, todo, hops)
                found = (directory, directory.parent or directory, directory.name)
        return found

    def _follow(self, link: Entry, directory: Directory, todo: list[bytes], hops: int) -> Directory:
        """Put a symbolic link's target before what is left to walk; return where to go on.

        Raises:
            ImageInvalid: it is one link too many.
        """
        target = link.link
        if hops > SYMLINKS_MAX:
            raise ImageInvalid(
                f"A layer has names below a loop of symbolic links: {shown(target)}."
            )
        self._budget.take_walk(len(target))
        todo.extend(reversed(target.split(b"/")))
        return self.root if target.startswith(b"/") else directory


def path_of(directory: Directory, name: bytes = b"") -> bytes:
    """Return the path of a directory, or of a name in it, relative to the root."""
    parts = [name] if name else []
    while directory.parent is not None:
        parts.append(directory.name)
        directory = directory.parent
    return b"/".join(reversed(parts))


def _is_content(entry: Entry) -> bool:
    """Tell whether an entry is for the tree; whiteouts and what aufs kept are not.

    Raises:
        ImageInvalid: something lies below a whiteout.
    """
    *above, name = entry.path.split(b"/")
    if any(part.startswith(AUFS) for part in above):
        return False
    if any(part.startswith(WHITEOUT) for part in above):
        raise ImageInvalid(f"A layer has {shown(entry.path)}, which is below a whiteout.")
    return not name.startswith(WHITEOUT)


def _hide_names(directory: Directory, name: bytes | None, hiding: list[Directory]) -> None:
    """Hide one name of a directory, or all."""
    if directory.hidden is None:
        directory.hidden = {}
        hiding.append(directory)
    for hidden in list(directory.children) if name is None else [name]:
        node = directory.children.pop(hidden, None)
        if node is not None:
            directory.hidden[hidden] = node


def _require_length(parent: Directory | None, name: bytes) -> int:
    """Return the length of a path.

    Raises:
        ImageInvalid: nobody could name it.
    """
    length = 0 if parent is None else parent.length + 1 + len(name)
    if length > PATH_BYTES_MAX + 1:
        raise ImageInvalid(
            f"A path in a layer is too long once its links are resolved: {shown(name)}."
        )
    return length


def _implied(*, mtime: int) -> Entry:
    """Return the attributes of a directory that no layer has an entry for."""
    return Entry(path=b"", kind=stat.S_IFDIR, mode=0o755, uid=0, gid=0, mtime=mtime)
