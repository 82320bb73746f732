"""Where a guest's memory lies in Firecracker's address space.

Reads `/proc/PID/maps` (proc(5)). Firecracker maps the guest's memory as one region up to the
32-bit devices and one for the rest; in a snapshot's memory file they follow each other. A restored
VM's are private mappings of that file, so each mapping says where in it it is; between them lie
pages that the guest has given back, which Firecracker has mapped anew. One that booted has
nameless mappings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from banger.errors import VmmFailed
from banger.host.identity import ProcessIdentity
from banger.vmm.memory import Region

LOW_BYTES = (3328 * 2**20, 3072 * 2**20)
"""Of the region below the 32-bit devices, which differs between versions."""
_LINE = re.compile(
    r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) rw-p (?P<offset>[0-9a-f]+) \S+ (?P<inode>\d+)"
)


class Mapping(NamedTuple):
    """A private mapping that may be read and written."""

    start: int
    end: int
    offset: int
    """In its file."""
    inode: int
    """0: it has no file."""


def find_guest_memory(process: ProcessIdentity, size: int, *, origin: int | None) -> list[Region]:
    """Return the regions of a guest's memory of `size` bytes.

    `origin` is the inode of the file that the memory began as; None: the guest booted.

    Raises:
        VmmFailed: the process ended, or has no such memory.
    """
    try:
        untrusted_text = Path(f"/proc/{process.pid}/maps").read_text("utf-8", "replace")
    except OSError as error:
        raise VmmFailed(f"The VMM with pid {process.pid} has ended.") from error
    return plan_regions(parse_maps(untrusted_text), size, origin=origin)


def parse_maps(untrusted_text: str) -> Iterator[Mapping]:
    """Yield the private writable mappings of `/proc/PID/maps`."""
    for line in untrusted_text.splitlines():
        if found := _LINE.match(line):
            start, end, offset = (int(found[name], 16) for name in ("start", "end", "offset"))
            yield Mapping(start, end, offset, int(found["inode"]))


def plan_regions(
    untrusted_mappings: Iterable[Mapping], size: int, *, origin: int | None
) -> list[Region]:
    """Return the regions of a guest's memory among these mappings. Pure.

    Raises:
        VmmFailed: they are not there.
    """
    regions = (
        _plan_nameless(untrusted_mappings, size)
        if origin is None
        else _plan_of_file(untrusted_mappings, size, origin)
    )
    if sum(region.size for region in regions) != size:
        raise VmmFailed("The VMM's memory is not where it was expected.")
    return regions


def _plan_of_file(untrusted_mappings: Iterable[Mapping], size: int, origin: int) -> list[Region]:
    """Regions begin where a mapping's address and offset no longer go together."""
    starts: dict[int, int] = {}
    for mapping in untrusted_mappings:
        if mapping.inode == origin and mapping.offset < size:
            base = mapping.start - mapping.offset
            starts[base] = min(starts.get(base, mapping.offset), mapping.offset)
    # The first page of a region may have been given back: the first region begins the file.
    ordered = sorted((offset, base) for base, offset in starts.items())
    ends = [*(offset for offset, _ in ordered[1:]), size]
    begins = [0, *ends[:-1]]
    return [
        Region(address=base + begin, offset=begin, size=end - begin)
        for (_, base), begin, end in zip(ordered, begins, ends, strict=False)
    ]


def _plan_nameless(untrusted_mappings: Iterable[Mapping], size: int) -> list[Region]:
    """Regions are mappings of exactly their sizes: they have a flag that no other has."""
    starts = {m.end - m.start: m.start for m in untrusted_mappings if m.inode == 0}
    for low in (size, *LOW_BYTES):
        parts = [low, size - low] if low < size else [size]
        if all(part in starts for part in parts):
            offsets = [0, low][: len(parts)]
            return [
                Region(starts[part], offset, part)
                for part, offset in zip(parts, offsets, strict=True)
            ]
    return []
