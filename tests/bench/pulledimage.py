"""The images that pulls are measured with: made by a fixed seed, half of each incompressible."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.oci_layouts import MadeLayer, OciLayout, make_layer

MIB = 1024 * 1024
FILES_PER_MIB = 20
"""A distribution has about as many."""
WORDS = tuple(f"word{n:03d} ".encode() for n in range(256))
SIX, ONE = "six", "one"
"""Tags: 300 MiB in six layers, and in a single one."""


def make_images(root: Path) -> Path:
    """Write an OCI layout with both images, and return it."""
    layout = OciLayout(root)
    layout.add_image([_make_layer(number, 50) for number in range(6)], tag=SIX)
    layout.add_image([_make_layer(6, 300)], tag=ONE)
    return root


def _make_layer(seed: int, size_mib: int) -> MadeLayer:
    """Return a layer of so much content; what is below `shared` replaces the lower layers'."""
    chance = random.Random(seed)
    files: dict[str, bytes] = {}
    for number in range(size_mib * FILES_PER_MIB):
        folder = "shared" if number % 10 == 0 else f"layer{seed}"
        size = MIB // FILES_PER_MIB
        files[f"usr/{folder}/{number % 40}/file{number}"] = (
            chance.randbytes(size) if number % 2 else _make_text(chance, size)
        )
    return make_layer(files, compression="gzip")


def _make_text(chance: random.Random, size: int) -> bytes:
    words = [WORDS[byte] for byte in chance.randbytes(size // len(WORDS[0]) + 1)]
    return b"".join(words)[:size]
