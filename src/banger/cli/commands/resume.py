"""Find where a copy of one file can continue: after a part that equals its beginning."""

from __future__ import annotations

import os
import posixpath

from banger.client import Client
from banger.errors import GuestPathNotFound

Params = dict[str, object]


def find_offset_in(client: Client, ref: object, directory: str, name: bytes, source: bytes) -> int:
    """Return how much of a file of this host its part in a VM's directory has; 0: nothing."""
    from banger.tar.parts import digest_of, part_name

    path = posixpath.join(directory, os.fsdecode(part_name(name)))
    try:
        found = client.call("vm.stat_file", {"ref": ref, "path": path})
    except GuestPathNotFound:
        return 0
    size = int(found["size"])
    if found["kind"] != "file" or not 0 < size <= os.stat(source).st_size:
        return 0
    return size if _digest_in_vm(client, ref, path, size) == digest_of(source, size) else 0


def find_offset_out(
    client: Client, ref: object, path: str, *, size: int, top: int, name: bytes
) -> int:
    """Return how much of a file of a VM its part in an open directory has; 0: nothing."""
    from banger.tar.parts import digest_of, part_name, part_size

    part = part_size(name, within=size, top=top)
    if not part:
        return 0
    here = digest_of(part_name(name), part, top=top)
    return part if here == _digest_in_vm(client, ref, path, part) else 0


def _digest_in_vm(client: Client, ref: object, path: str, size: int) -> str:
    found = client.call("vm.checksum_file", {"ref": ref, "path": path, "size": size})
    return str(found["digest"])


def describe(offset: int) -> str:
    """Say where a copy continues."""
    return f"continues after the {offset} bytes that were copied before"
