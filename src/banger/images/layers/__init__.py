"""Images from layers: OCI and Docker layers, archives and root tars, merged into one root.

entries           tar headers (`banger.tar`) to checked entries; pure
unpacking, index  a layer's file to its entries: digest, limits
tree              the merge; pure
emit              the merged tree as one tar stream
archive           files that hold an image
work, messages    the program that does all of this (`python -m banger.images.layers`)
program           the daemon's side
"""

from banger.images.layers.program import import_image, make_image

__all__ = ["import_image", "make_image"]
