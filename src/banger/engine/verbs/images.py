"""Images: made on first use, once for all requests (lock L4).

What is used is not deleted: `imageusers` tells by whom it is (hazards C3, C4).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from banger import images, templates
from banger.api.method import serves
from banger.api.requests import ImageBuild, ImageImport, ImageRef, ImageRegister
from banger.api.results import Deleted
from banger.engine.state.engine import Engine
from banger.engine.state.operations import Operation
from banger.engine.state.shared import Progress
from banger.engine.transitions.pool import drain_pool
from banger.engine.verbs.imageusers import load_image_users
from banger.engine.verbs.pull import pull_reference, tell_unrunnable
from banger.errors import (
    DeadlineExceeded,
    HostNotReady,
    ImageInUse,
    ImageNotFound,
    InvalidRequest,
    ToolFailed,
)
from banger.host.http.proxies import render_proxies
from banger.images import platforms, registry
from banger.model.artifacts import Image


@serves("image.build")
async def build_image(engine: Engine, op: Operation, params: ImageBuild) -> Image:
    """Build an image from a recipe, or from a suite and packages, under a name."""
    return await _build(engine, _choose_recipe(params), op.progress)


@serves("image.import")
async def import_image(engine: Engine, op: Operation, params: ImageImport) -> Image:
    """Make an image of an archive, a layout, a root tar, or a pipe with one of them."""
    path = _require_absolute(params.path)

    async def make(tell: Progress) -> Image:
        return await images.import_image(
            engine.layout, path, name=params.name, progress=tell, now=engine.now()
        )

    image = await engine.shared.run(f"import:{path}:{params.name}", make, op.progress)
    tell_unrunnable(op, image)
    return image


@serves("image.register")
async def register_image(engine: Engine, op: Operation, params: ImageRegister) -> Image:
    """Make an image of a squashfs file that stays where it is."""
    path = _require_absolute(params.path)

    async def make(tell: Progress) -> Image:
        return await images.register_image(
            engine.layout,
            path,
            name=params.name,
            init=params.init,
            progress=tell,
            now=engine.now(),
        )

    key = f"register:{path}:{params.name}:{params.init}"
    return await engine.shared.run(key, make, op.progress)


@serves("image.promote")
async def promote_image(engine: Engine, op: Operation, params: ImageRef) -> Image:
    """Copy a registered image's file into the store; the file is no longer needed."""
    image = await asyncio.to_thread(images.get_image, engine.layout, params.ref)

    async def make(tell: Progress) -> Image:
        return await images.promote_image(engine.layout, image, tell)

    return await engine.shared.run(f"promote:{image.digest}", make, op.progress)


@serves("image.delete")
async def delete_image(engine: Engine, params: ImageRef) -> Deleted:
    """Delete an unused image, and the templates that were made from it.

    One that has other names loses the name that it is asked for by, and stays.

    Raises:
        ImageNotFound: there is none of this name or digest.
        ImageInUse: it is used; the users are named.
    """
    image = await asyncio.to_thread(images.get_image, engine.layout, params.ref)
    names = await asyncio.to_thread(images.image_names, engine.layout)
    is_by_name = names.get(image.name) == image.digest and not image.digest.startswith(params.ref)
    if is_by_name and list(names.values()).count(image.digest) > 1:
        await asyncio.to_thread(images.unname_image, engine.layout, image.name)
        return Deleted(ids=[])
    await _require_unused(engine, image)
    await drain_pool(engine, lambda _, spec: spec.image == image.digest)
    async with engine.removals:
        await _require_unused(engine, image)
        await asyncio.to_thread(images.delete_image, engine.layout, image)
        await asyncio.to_thread(templates.remove_templates_of, engine.layout, image.digest)
    return Deleted(ids=[image.digest])


async def _require_unused(engine: Engine, image: Image) -> None:
    users = await load_image_users(engine)
    vms = users.vms(image)
    if named := [*vms, *users.operations(image)]:
        raise ImageInUse(
            f"The image {image.name} is used by: {', '.join(named)}.",
            hint="banger vm list" if vms else "banger operations list",
        )


async def require_image_possible(engine: Engine, name: str) -> None:
    """Check that an image of this name is here, or can be built or pulled. Makes nothing.

    Raises: as `ensure_image`, but for what goes wrong while an image is made.
    """
    image, recipe = await _find_image_or_recipe(engine, name)
    if image is None and recipe is None:
        registry.parse_reference(name)


async def ensure_image(engine: Engine, op: Operation, name: str) -> Image:
    """Return the image of this name or digest, built or pulled now if it can be.

    One of a recipe of ours that has changed is built anew; the old one stays for its VMs.

    Raises:
        ImageNotFound: it is neither here nor in the catalogue, and no reference.
        ImageChanged: it is a registered one whose file is not what it was.
        ReferenceInvalid: it is no reference that a registry could know.
    """
    image, recipe = await _find_image_or_recipe(engine, name)
    if image is not None:
        return await _renewed(engine, op, image, recipe)
    if recipe is not None:
        return await _build(engine, recipe, op.progress)
    return await pull_reference(
        engine, registry.parse_reference(name), op.progress, platform=platforms.host_platform()
    )


async def _find_image_or_recipe(
    engine: Engine, name: str
) -> tuple[Image | None, images.Recipe | None]:
    """Return what there is under a name; neither if the name is a reference to pull.

    A bare word is never pulled: a slip in the name of an own image must not run what a
    stranger has put under it in a public registry.
    """
    image = await asyncio.to_thread(images.find_image, engine.layout, name)
    recipe = images.find_recipe(name)
    if image is not None:
        await asyncio.to_thread(images.require_root, engine.layout, image)
    elif recipe is None and not any(mark in name for mark in "/:@"):
        raise await asyncio.to_thread(_not_found, engine, name)
    return image, recipe


async def _renewed(
    engine: Engine, op: Operation, image: Image, recipe: images.Recipe | None
) -> Image:
    """Return what an image's recipe gives today, if it is one of ours that has changed."""
    if recipe is None or image.recipe in ("", images.find_recipe_hash(recipe)):
        return image
    if recipe.name in engine.failed_recipes:
        op.note("notice", f"{image.name} is older than its recipe.")
        return image
    op.note("notice", f"The recipe of {image.name} has changed; the image is rebuilt.")
    try:
        return await _build(engine, recipe, op.progress)
    except (HostNotReady, ToolFailed, DeadlineExceeded) as error:
        engine.failed_recipes.add(recipe.name)
        op.note("notice", f"{image.name} could not be built; using the old one: {error.message}")
        return image


def _not_found(engine: Engine, name: str) -> ImageNotFound:
    """Return the error for a word that is neither an image here nor one of the catalogue."""
    near = images.find_near_name(name, images.image_names(engine.layout))
    meant = f"did you mean {near}? (" if near else f"banger image pull {name} ("
    hint = f"{meant}banger image catalog lists what can be built by name)"
    return ImageNotFound(f"There is no image {name}.", hint=hint)


def _require_absolute(untrusted: str) -> Path:
    path = Path(untrusted)
    if not path.is_absolute():
        raise InvalidRequest(f"{untrusted!r} is not an absolute path.")
    return path


def _choose_recipe(params: ImageBuild) -> images.Recipe:
    """Return the recipe of the file, else ours of that name, else the default, with additions."""
    if params.recipe is not None:
        if params.packages:
            raise InvalidRequest("A recipe file and packages exclude each other.")
        recipe = images.load_recipe(Path(params.recipe))
        return msgspec.structs.replace(recipe, name=params.name)
    base = images.find_recipe(params.name) or images.find_recipe(images.BASE)
    assert base is not None
    recipe = msgspec.structs.replace(
        base,
        name=params.name,
        suite=params.suite or base.suite,
        packages=(*base.packages, *params.packages),
    )
    images.require_recipe(recipe)
    return recipe


async def _build(engine: Engine, recipe: images.Recipe, progress: Progress) -> Image:
    async def make(tell: Progress) -> Image:
        return await images.build_image(
            engine.layout,
            recipe,
            progress=tell,
            now=engine.now(),
            proxies=render_proxies(engine.caller_environ()),
        )

    return await engine.shared.run(f"image:{recipe.name}", make, progress)
