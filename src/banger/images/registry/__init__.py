"""The registry client: references, ways in, downloads, the blob cache.

Names are imported on first use: few daemons ever need a registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from banger.lazynames import export_lazily

if TYPE_CHECKING:
    from banger.images.registry.blobs import KEPT_BYTES_MAX, trim_blobs
    from banger.images.registry.layer_downloads import LayerDownloads
    from banger.images.registry.pull import Pull, Resolved, Source, open_pull, pull_deadline
    from banger.images.registry.reference import Reference, parse_reference

__getattr__ = export_lazily(
    __name__,
    {
        "blobs": "KEPT_BYTES_MAX trim_blobs",
        "layer_downloads": "LayerDownloads",
        "pull": "Pull Resolved Source open_pull pull_deadline",
        "reference": "Reference parse_reference",
    },
)
