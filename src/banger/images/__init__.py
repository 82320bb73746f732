"""Images: root file systems from distribution packages or OCI layers, kept by digest.

Names are imported on first use: a daemon that makes none needs little of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from banger.lazynames import export_lazily

if TYPE_CHECKING:
    from banger.images.build import build_image, require_image_tools
    from banger.images.catalogue import (
        BASE,
        CATALOGUE,
        CatalogueImage,
        find_near_name,
        find_recipe,
        find_recipe_hash,
    )
    from banger.images.commit import TAR_BYTES_EXTRA, commit_image, keep_root_tar
    from banger.images.layers import import_image, make_image
    from banger.images.local import (
        delete_image,
        find_image,
        get_image,
        image_names,
        image_root,
        is_intact,
        list_images,
        name_image,
        named_digests,
        note_signer,
        require_image_name,
        unname_image,
    )
    from banger.images.recipe import Recipe, load_recipe, require_recipe
    from banger.images.registered import promote_image, register_image, require_root
    from banger.images.rootwriter import require_root_writer

__getattr__ = export_lazily(
    __name__,
    {
        "build": "build_image require_image_tools",
        "catalogue": "BASE CATALOGUE CatalogueImage find_near_name find_recipe find_recipe_hash",
        "commit": "TAR_BYTES_EXTRA commit_image keep_root_tar",
        "layers": "import_image make_image",
        "local": "delete_image find_image get_image image_names image_root is_intact list_images "
        "name_image named_digests note_signer require_image_name unname_image",
        "recipe": "Recipe load_recipe require_recipe",
        "registered": "promote_image register_image require_root",
        "rootwriter": "require_root_writer",
    },
)
