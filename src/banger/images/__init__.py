"""Images: root file systems built from distribution packages, kept by digest."""

from banger.images.build import build_image, require_image_tools
from banger.images.recipe import Recipe, find_recipe, list_recipes, load_recipe, require_recipe
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
    "get_image",
    "image_root",
    "is_intact",
    "list_images",
    "list_recipes",
    "load_recipe",
    "name_image",
    "named_digests",
    "require_image_tools",
    "require_recipe",
]
