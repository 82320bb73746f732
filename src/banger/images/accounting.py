"""Images' disk usage: alone, and shared with others. Pure.

At run time an image is its root, one file of its own. The packed layers that it was made of are
kept for a while, for the next pull; a layer that several images were made of is there once. So
an image has alone its root and the layers that no other image was made of. A registered root is the
user's and takes nothing of ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from banger.model.artifacts import Image


class DiskUse(Struct, frozen=True):
    """Bytes on the disk that one image is the reason for."""

    unique_bytes: int
    shared_bytes: int
    """Of layers that other images were made of, too; they count for each of them."""


def count_disk_use(images: Sequence[Image], kept_bytes: Mapping[str, int]) -> dict[str, DiskUse]:
    """Return what each image takes, by its digest; `kept_bytes` are layers' sizes by theirs."""
    owners = count_owners(images)
    return {image.digest: _count(image, owners, kept_bytes) for image in images}


def count_owners(images: Sequence[Image]) -> Counter[str]:
    """Return of how many images each layer is a part."""
    return Counter(digest for image in images for digest in {part.digest for part in image.layers})


def _count(image: Image, owners: Mapping[str, int], kept_bytes: Mapping[str, int]) -> DiskUse:
    kept = {part.digest: kept_bytes.get(part.digest, 0) for part in image.layers}
    shared = sum(size for digest, size in kept.items() if owners[digest] > 1)
    root = 0 if image.external is not None else image.size_bytes
    return DiskUse(unique_bytes=root + sum(kept.values()) - shared, shared_bytes=shared)
