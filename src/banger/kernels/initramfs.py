"""The initramfs: our agent as /init and the modules that it loads. Pure and reproducible.

A cpio archive in the "newc" format, written here because nothing else makes a device
node without privilege, and because equal inputs must give equal bytes: fixed
inode numbers and times, sorted names (Documentation/driver-api/early-userspace/
buffer-format.rst). It is not compressed: see docs/adr/0010-kernel-parts.md.

    /init             the agent
    /modules/*.ko     plain modules
    /modules/order    their file names, one a line, in load order
    /dev/console      without it the kernel starts /init with no descriptors at all
    /dev /proc /sys /newroot /run /tmp   empty
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DIRECTORIES = ("dev", "modules", "newroot", "proc", "run", "sys", "tmp")
CONSOLE_DEVICE = (5, 1)
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """One file of the archive."""

    name: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def build_initramfs(agent: bytes, *, modules: Mapping[str, bytes], order: Sequence[str]) -> bytes:
    """Return the archive. `modules` maps file names to plain modules; `order` names them all."""
    entries = [Entry(name, stat.S_IFDIR | 0o755) for name in DIRECTORIES]
    entries += [
        Entry("init", stat.S_IFREG | 0o755, agent),
        Entry("dev/console", stat.S_IFCHR | 0o600, device=CONSOLE_DEVICE),
        Entry("modules/order", stat.S_IFREG | 0o644, "".join(f"{n}\n" for n in order).encode()),
    ]
    entries += [Entry(f"modules/{name}", stat.S_IFREG | 0o644, modules[name]) for name in order]
    return format_cpio(entries)


def format_cpio(entries: Sequence[Entry]) -> bytes:
    """Return a newc archive of the entries, sorted by name (a directory before its files)."""
    parts = [
        _format_entry(entry, inode)
        for inode, entry in enumerate(sorted(entries, key=lambda e: e.name), start=1)
    ]
    parts.append(_format_entry(Entry(_TRAILER, 0), 0))
    archive = b"".join(parts)
    return archive + bytes(-len(archive) % 512)


def _format_entry(entry: Entry, inode: int) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # ino, mode, uid, gid, nlink, mtime, filesize, device, rdevice, namesize, checksum (unused)
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, *entry.device)
    header = b"070701" + b"".join(b"%08X" % field for field in (*fields, len(name), 0))
    return _pad(header + name) + _pad(entry.content)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
