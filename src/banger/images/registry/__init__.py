"""The registry client: references, ways in, downloads, the blob cache."""

from banger.images.registry.blobs import trim_blobs
from banger.images.registry.pull import Pull, Pulled, Resolved, Source, open_pull, pull_deadline
from banger.images.registry.reference import Reference, parse_reference

__all__ = [
    "Pull",
    "Pulled",
    "Reference",
    "Resolved",
    "Source",
    "open_pull",
    "parse_reference",
    "pull_deadline",
    "trim_blobs",
]
