"""Where a guest's memory is, from what the kernel says of Firecracker's mappings."""

from __future__ import annotations

import pytest

from banger.errors import VmmFailed
from banger.vmm.firecracker.guestmemory import Mapping, parse_maps, plan_regions
from banger.vmm.memory import Region

MIB = 2**20
MAPS = """\
00400000-00500000 r-xp 00000000 08:01 77                                 /usr/bin/firecracker
00600000-00601000 rw-p 00200000 08:01 77                                 /usr/bin/firecracker
7f0000000000-7f0010000000 rw-p 00000000 08:01 4711                       /data/memory
7f0020000000-7f0020021000 rw-p 00000000 00:00 0
7f0030000000-7f0030001000 rw-s 00000000 00:0d 12                         anon_inode:kvm-vcpu:0
7fff00000000-7fff00021000 rw-p 00000000 00:00 0                          [stack]
"""
BASE = 0x7F0000000000


def test_private_writable_mappings_are_read() -> None:
    assert [mapping.inode for mapping in parse_maps(MAPS)] == [77, 4711, 0, 0]


def test_a_restored_guest_is_found_by_its_file() -> None:
    assert plan_regions(parse_maps(MAPS), 256 * MIB, origin=4711) == [Region(BASE, 0, 256 * MIB)]


def test_pages_that_were_given_back_belong_to_the_region_around_them() -> None:
    """Firecracker maps them anew, without the file."""
    mappings = [
        Mapping(BASE, BASE + 2 * MIB, 0, 0),
        Mapping(BASE + 2 * MIB, BASE + 4 * MIB, 2 * MIB, 9),
        Mapping(BASE + 4 * MIB, BASE + 6 * MIB, 0, 0),
        Mapping(BASE + 6 * MIB, BASE + 8 * MIB, 6 * MIB, 9),
    ]
    assert plan_regions(mappings, 8 * MIB, origin=9) == [Region(BASE, 0, 8 * MIB)]


def test_two_regions_follow_each_other_in_the_file() -> None:
    high = BASE + 1024 * MIB
    mappings = [
        Mapping(high, high + 4 * MIB, 12 * MIB, 9),
        Mapping(BASE, BASE + 12 * MIB, 0, 9),
    ]
    assert plan_regions(mappings, 16 * MIB, origin=9) == [
        Region(BASE, 0, 12 * MIB),
        Region(high, 12 * MIB, 4 * MIB),
    ]


@pytest.mark.parametrize(("size_mib", "parts"), [(256, [256]), (4096, [3328, 768])])
def test_a_guest_that_booted_is_found_by_its_size(size_mib: int, parts: list[int]) -> None:
    sizes = [1, *parts, 2]
    starts = [BASE + 2**40 * number for number in range(len(sizes))]
    mappings = [Mapping(at, at + part * MIB, 0, 0) for at, part in zip(starts, sizes, strict=True)]
    found = plan_regions(mappings, size_mib * MIB, origin=None)
    assert [region.address for region in found] == starts[1:-1]
    assert [region.size for region in found] == [part * MIB for part in parts]
    assert [region.offset for region in found] == [0, 3328 * MIB][: len(parts)]


@pytest.mark.parametrize("origin", [None, 8])
def test_a_memory_that_is_not_there_is_refused(origin: int | None) -> None:
    """E2: what a VMM that was taken over has mapped instead."""
    with pytest.raises(VmmFailed, match="not where"):
        plan_regions(parse_maps(MAPS), 512 * MIB, origin=origin)
