"""Images: root file systems from distribution packages or OCI layers, kept by digest."""

from banger.images.build import build_image, require_image_tools
from banger.images.layers import import_image, make_image
from banger.images.recipe import (
    Recipe,
    find_recipe,
    find_recipe_hash,
    list_recipes,
    load_recipe,
    require_recipe,
)
from banger.images.shelf import (
    delete_image,
    find_image,
    get_image,
    image_root,
    is_intact,
    list_images,
    name_image,
    named_digests,
)

__all__ = [
    "Recipe",
    "build_image",
    "delete_image",
    "find_image",
    "find_recipe",
    "find_recipe_hash",
    "get_image",
    "image_root",
    "import_image",
    "is_intact",
    "list_images",
    "list_recipes",
    "load_recipe",
    "make_image",
    "name_image",
    "named_digests",
    "require_image_tools",
    "require_recipe",
]
