"""The versions of Firecracker that banger supports, and what only newer ones can do. Pure.

From Firecracker's change log, and from what the real programs were seen to do. Firecracker refuses
a field that it does not know, so what is not among a version's features is not asked of it.
"""

from __future__ import annotations

import re
from enum import StrEnum

from banger.errors import ToolFailed

Version = tuple[int, int, int]

OLDEST: Version = (1, 12, 0)
"""The first whose restored VMs take another TAP (`network_overrides`)."""
BEYOND: Version = (2, 0, 0)
"""A major release may change the API."""
BROKEN: dict[Version, str] = {
    (1, 16, 0): "a guest that was restored, or paused and resumed, no longer accepts connections",
    (1, 16, 1): "a guest that was paused and resumed no longer accepts connections",
}
"""Versions inside of the window that do not work, and why: their vsock device waits for ever for
its guest to confirm a reset (changes 5958 and 6100 of Firecracker's repository)."""


class Feature(StrEnum):
    """What only some versions have; the value is what it is for."""

    BIG_DIFFS = "take snapshots of kind Diff of more than 3 GiB of memory"
    """Before, their memory files are corrupt (change 5705)."""
    BZIMAGE = "boot a compressed kernel"
    CLOCK_REALTIME = "advance the clock of a restored guest"
    FREE_PAGES = "take back the pages that a guest reports as free"
    SERIAL = "write the serial console to a file of its own"
    TRACK_AFTER_LOAD = "know `track_dirty_pages` of a restored VM by that name"
    """Before, the field is `enable_diff_snapshots`."""
    VSOCK_OVERRIDE = "give a restored vsock device another socket"


SINCE: dict[Feature, Version] = {
    Feature.BIG_DIFFS: (1, 14, 2),
    Feature.BZIMAGE: (1, 17, 0),
    Feature.CLOCK_REALTIME: (1, 16, 0),
    Feature.FREE_PAGES: (1, 14, 0),
    Feature.SERIAL: (1, 14, 0),
    Feature.TRACK_AFTER_LOAD: (1, 13, 0),
    Feature.VSOCK_OVERRIDE: (1, 16, 0),
}
"""The first version of each feature."""


def parse_version(untrusted_text: str) -> Version:
    """Return the version from what `firecracker --version` prints, or the API says.

    Raises:
        ToolFailed: it is not in there.
    """
    match = re.search(r"\bv?(\d{1,4})\.(\d{1,4})\.(\d{1,4})\b", untrusted_text)
    if match is None:
        raise ToolFailed("Firecracker does not print its version.", details=untrusted_text[:200])
    return int(match[1]), int(match[2]), int(match[3])


def format_version(version: Version) -> str:
    """Return a version as Firecracker writes it."""
    return ".".join(map(str, version))


def find_obstacle(version: Version) -> str | None:
    """Return in one sentence why banger does not work with a version, or None."""
    name = f"Firecracker {format_version(version)}"
    if version < OLDEST:
        return f"{name} is too old: {format_version(OLDEST)} or newer is needed."
    if version >= BEYOND:
        return f"{name} is too new: this banger knows versions below {format_version(BEYOND)}."
    if version in BROKEN:
        return f"{name} does not work: {BROKEN[version]}."
    return None


def features_of(version: Version) -> frozenset[Feature]:
    """Return what a version has of what only some have."""
    return frozenset(feature for feature, since in SINCE.items() if version >= since)
