"""Images: root file systems from distribution packages or OCI layers, kept by digest."""

from banger.images.build import build_image, require_image_tools
from banger.images.catalogue import (
    BASE,
    CATALOGUE,
    CatalogueImage,
    find_near_name,
    find_recipe,
    find_recipe_hash,
)
from banger.images.commit import commit_image, keep_root_tar
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

__all__ = [
    "BASE",
    "CATALOGUE",
    "CatalogueImage",
    "Recipe",
    "build_image",
    "commit_image",
    "delete_image",
    "find_image",
    "find_near_name",
    "find_recipe",
    "find_recipe_hash",
    "get_image",
    "image_names",
    "image_root",
    "import_image",
    "is_intact",
    "keep_root_tar",
    "list_images",
    "load_recipe",
    "make_image",
    "name_image",
    "named_digests",
    "note_signer",
    "promote_image",
    "register_image",
    "require_image_name",
    "require_image_tools",
    "require_recipe",
    "require_root",
    "require_root_writer",
    "unname_image",
]
