"""Images: made when first asked for, once for all askers (lock L4).

A VM pins what it uses by naming its digest in its record: `delete_image` refuses
while one does, and the check and the deletion are made under the same key of L4
as builds (hazards C3, C4).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from banger import images, store, templates
from banger.api.requests import ImageBuild, ImageImport, ImageRef
from banger.api.results import Deleted
from banger.engine.artifacts.pulling import pull_reference
from banger.engine.engine import Engine
from banger.engine.operations import Operation
from banger.engine.pool.clones import drain_pool
from banger.engine.shared import Progress
from banger.errors import (
    DeadlineExceeded,
    HostNotReady,
    ImageInUse,
    ImageNotFound,
    InvalidRequest,
    ToolFailed,
)
from banger.images import platforms, registry
from banger.model.artifacts import Image

BASE_RECIPE = "debian-bookworm"
"""What packages are added to when no recipe file is given: a machine that can be worked in."""


async def list_images(engine: Engine) -> list[Image]:
    """Return every image, by name."""
    return await asyncio.to_thread(images.list_images, engine.layout)


async def show_image(engine: Engine, params: ImageRef) -> Image:
    """Return one image."""
    return await asyncio.to_thread(images.get_image, engine.layout, params.ref)


async def build_image(engine: Engine, op: Operation, params: ImageBuild) -> Image:
    """Build an image from a recipe, or from a suite and packages, under a name."""
    return await _build(engine, _choose_recipe(params), op.progress)


async def import_image(engine: Engine, op: Operation, params: ImageImport) -> Image:
    """Make an image of an archive, a layout, a root tar, or a pipe with one of them."""
    path = Path(params.path)
    if not path.is_absolute():
        raise InvalidRequest(f"{params.path!r} is not an absolute path.")

    async def make(tell: Progress) -> Image:
        return await images.import_image(
            engine.layout, path, name=params.name, progress=tell, now=engine.now()
        )

    return await engine.shared.run(f"import:{path}:{params.name}", make, op.progress)


async def delete_image(engine: Engine, params: ImageRef) -> Deleted:
    """Delete an image that no VM uses, and the templates that were made from it.

    Raises:
        ImageNotFound: there is none of this name or digest.
        ImageInUse: VMs use it; they are named.
    """
    image = await show_image(engine, params)
    users = [
        record.spec.name
        for record in await engine.database.read(store.load_vms)
        if record.spec.image == image.digest and record.spec.pooled is None
    ]
    if users:
        raise ImageInUse(
            f"The image {image.name} is used by: {', '.join(users)}.",
            hint=f"banger vm delete {' '.join(users)}",
        )
    await drain_pool(engine, lambda spec: spec.image == image.digest)
    await asyncio.to_thread(images.delete_image, engine.layout, image)
    await asyncio.to_thread(templates.remove_templates_of, engine.layout, image.digest)
    return Deleted(ids=[image.digest])


async def ensure_image(engine: Engine, op: Operation, name: str) -> Image:
    """Return the image of this name or digest, built or pulled now if it can be.

    One of a recipe of ours that has changed is built anew; the old one stays for its VMs.

    A bare word is never pulled: a slip in the name of an own image must not run what a
    stranger has put under it in a public registry.

    Raises:
        ImageNotFound: it is neither here nor in the catalogue, and no reference.
    """
    image = await asyncio.to_thread(images.find_image, engine.layout, name)
    recipe = images.find_recipe(name)
    if image is not None:
        return await _renewed(engine, op, image, recipe)
    if recipe is not None:
        return await _build(engine, recipe, op.progress)
    if not any(mark in name for mark in "/:@"):
        raise ImageNotFound(
            f"There is no image {name}.", hint=f"banger image list, or: banger image pull {name}"
        )
    return await pull_reference(
        engine, registry.parse_reference(name), op.progress, platform=platforms.host_platform()
    )


async def _renewed(
    engine: Engine, op: Operation, image: Image, recipe: images.Recipe | None
) -> Image:
    """Return what an image's recipe gives today, if it is one of ours that has changed."""
    if recipe is None or image.recipe in ("", images.find_recipe_hash(recipe)):
        return image
    if recipe.name in engine.failed_recipes:
        op.note("notice", f"{image.name} is older than its recipe.")
        return image
    op.note("notice", f"The recipe of {image.name} has changed; the image is built anew.")
    try:
        return await _build(engine, recipe, op.progress)
    except (HostNotReady, ToolFailed, DeadlineExceeded) as error:
        engine.failed_recipes.add(recipe.name)
        op.note("notice", f"{image.name} could not be built, the old one is used: {error.message}")
        return image


def _choose_recipe(params: ImageBuild) -> images.Recipe:
    """Return the recipe of the file, else ours of that name, else the default, with additions."""
    if params.recipe is not None:
        if params.packages:
            raise InvalidRequest("A recipe file and packages exclude each other.")
        recipe = images.load_recipe(Path(params.recipe))
        return msgspec.structs.replace(recipe, name=params.name)
    base = images.find_recipe(params.name) or images.find_recipe(BASE_RECIPE)
    assert base is not None
    recipe = msgspec.structs.replace(
        base,
        name=params.name,
        suite=params.suite,
        packages=(*base.packages, *params.packages),
    )
    images.require_recipe(recipe)
    return recipe


async def _build(engine: Engine, recipe: images.Recipe, progress: Progress) -> Image:
    async def make(tell: Progress) -> Image:
        return await images.build_image(engine.layout, recipe, progress=tell, now=engine.now())

    return await engine.shared.run(f"image:{recipe.name}", make, progress)
