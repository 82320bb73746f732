"""The registry client: references, ways in, downloads, the blob cache."""

from banger.images.registry.blobs import KEPT_BYTES_MAX, trim_blobs
from banger.images.registry.layer_downloads import LayerDownloads
from banger.images.registry.pull import (
    Pull,
    Resolved,
    Source,
    open_pull,
    pull_deadline,
)
from banger.images.registry.reference import Reference, parse_reference

__all__ = [
    "KEPT_BYTES_MAX",
    "LayerDownloads",
    "Pull",
    "Reference",
    "Resolved",
    "Source",
    "open_pull",
    "parse_reference",
    "pull_deadline",
    "trim_blobs",
]
