"""Write the merged tree as one tar stream, in the order that suits the reader.

    directories, from the top down | files without content, links, devices |
    contents, layer by layer in the order they lie there | further names of hard links

The second pass over the layers: each that has content left is unpacked once more, what was
replaced or hidden is passed over, and nothing is held but one piece.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from banger.errors import ImageInvalid, ImageUnsupported
from banger.images.layers.entries import MINOR_BITS, Entry
from banger.images.layers.limits import DIRECTORY_ENTRIES_MAX, OWNERS_MAX
from banger.images.layers.tree import Directory, Tree, path_of
from banger.images.layers.unpacking import Blob, TarStream
from banger.tar import format as tar
from banger.tar.format import XATTR, padding, shown
from banger.tar.header import Malformed
from banger.tar.write import header, pax_header

_TYPES = {
    stat.S_IFREG: tar.FILE,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFIFO: tar.FIFO,
}
MOUNT_POINTS = (b"proc", b"sys", b"dev", b"run", b"tmp")
"""What every machine has; the guest's agent makes those that an image lacks."""

Write = Callable[[bytes | memoryview], object]


class Plan(Struct):
    """What is to be written, in its order."""

    directories: list[Directory]
    inodes: list[Entry]
    contents: list[list[Entry]]
    """For each layer, in the order of their content."""
    links: list[tuple[Directory, bytes, Entry]]
    content_bytes: int


def plan_stream(tree: Tree, layers: int) -> Plan:
    """Return the order in which the tree is written.

    Raises:
        ImageInvalid: the files have too many owners.
        ImageUnsupported: a directory has more names than the writer can take.
    """
    plan = Plan([], [], [[] for _ in range(layers)], [], 0)
    owners: set[int] = set()
    waiting = [tree.root]
    while waiting:
        directory = waiting.pop()
        if directory is not tree.root:
            plan.directories.append(directory)
            owners |= {directory.entry.uid, directory.entry.gid}
        if len(directory.children) > DIRECTORY_ENTRIES_MAX:
            raise ImageUnsupported(
                f"The image has more than {DIRECTORY_ENTRIES_MAX} files in the directory "
                f"{shown(b'/' + path_of(directory))}."
            )
        for name, node in directory.children.items():
            if isinstance(node, Directory):
                waiting.append(node)
            else:
                _plan_inode(plan, node, directory, name)
                owners |= {node.uid, node.gid}
    if len(owners) > OWNERS_MAX:
        raise ImageInvalid(f"The image has files of more than {OWNERS_MAX} different owners.")
    for contents in plan.contents:
        contents.sort(key=lambda inode: inode.offset)
    root = tree.root.entry
    if not {root.uid, root.gid} <= owners:
        plan.directories.append(_owner_carrier(tree.root))
    return plan


def write_stream(
    plan: Plan, blobs: Sequence[Blob], write: Write, on_bytes: Callable[[int], None]
) -> None:
    """Write the stream, without its end mark. `on_bytes` gets the content written so far.

    Raises:
        ImageInvalid: a layer is not any more what it was when it was indexed.
    """
    for directory in plan.directories:
        write(_header(path_of(directory) + b"/", directory.entry))
    for inode in plan.inodes:
        write(_header(_path(inode), inode))
    written = 0
    for blob, contents in zip(blobs, plan.contents, strict=True):
        stream = TarStream(blob) if contents else None
        for inode in contents:
            assert stream is not None
            write(_header(_path(inode), inode))
            for piece in _content(stream, inode):
                write(piece)
            written += inode.size
            on_bytes(written)
    for directory, name, inode in plan.links:
        write(_link(path_of(directory, name), _path(inode)))


def _plan_inode(plan: Plan, inode: Entry, directory: Directory, name: bytes) -> None:
    if inode.place is not None:
        plan.links.append((directory, name, inode))
        return
    inode.place, inode.name = directory, name
    if inode.size:
        plan.contents[inode.layer].append(inode)
        plan.content_bytes += inode.size
    else:
        plan.inodes.append(inode)


def _owner_carrier(root: Directory) -> Directory:
    """Return a mount point that belongs to the root directory's owner.

    The root's inode can only have an owner that something else in the squashfs has
    (`rootinode`); a machine has these directories in any case.

    Raises:
        ImageUnsupported: all of them are there and belong to others.
    """
    entry = root.entry
    for name in MOUNT_POINTS:
        if name not in root.children:
            made = Entry(
                path=b"",
                kind=stat.S_IFDIR,
                mode=0o755,
                uid=entry.uid,
                gid=entry.gid,
                mtime=entry.mtime,
            )
            return Directory(made, root, name)
    raise ImageUnsupported("The image's root directory has an owner that no file in it has.")


def _content(stream: TarStream, entry: Entry) -> Iterator[memoryview | bytes]:
    try:
        stream.skip(entry.offset - stream.position)
    except Malformed as error:
        raise ImageInvalid("A layer changed while it was read.") from error
    left = entry.size
    for piece in stream.pieces(entry.size):
        left -= len(piece)
        yield piece
    if left:
        raise ImageInvalid("A layer changed while it was read.")
    yield padding(entry.size)


def _path(inode: Entry) -> bytes:
    assert isinstance(inode.place, Directory)
    return path_of(inode.place, inode.name)


def _header(path: bytes, entry: Entry) -> bytes:
    extra = b""
    if entry.xattrs:
        extra = pax_header((XATTR + name, value) for name, value in entry.xattrs)
    return extra + header(
        path,
        _TYPES[entry.kind],
        mode=entry.mode,
        size=entry.size,
        mtime_s=entry.mtime,
        link=entry.link,
        owner=(entry.uid, entry.gid),
        device=divmod(entry.device, 1 << MINOR_BITS),
    )


def _link(path: bytes, target: bytes) -> bytes:
    return header(path, tar.HARD_LINK, mode=0, size=0, mtime_s=0, link=target)
