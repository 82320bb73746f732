"""Images and kernels: made when first asked for, once for all askers (lock L4).

A VM pins what it uses by naming its digest in its record: `delete_image` refuses
while one does, and the check and the deletion are made under the same key of L4
as builds (hazards C3, C4).
"""

from __future__ import annotations

import asyncio
import functools
import platform
from pathlib import Path

import msgspec

from banger import images, kernels, store, templates
from banger.api.methods import Deleted, ImageBuild, ImageImport, ImageRef, KernelPull
from banger.engine.engine import Engine
from banger.engine.operations import Operation
from banger.engine.pulling import pull_reference
from banger.engine.shared import Progress
from banger.errors import HostNotReady, ImageInUse, ImageNotFound, InvalidRequest
from banger.host import proc
from banger.images import platforms, registry
from banger.model.artifacts import Image, Kernel

BASE_RECIPE = "debian-bookworm"
"""What packages are added to when no recipe file is given: a machine that can be worked in."""
AGENT_FOLDER = Path(__file__).parent.parent / "guest" / "agent"
"""Where the package's build puts the agent, by architecture."""


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
        if record.spec.image == image.digest
    ]
    if users:
        raise ImageInUse(
            f"The image {image.name} is used by: {', '.join(users)}.",
            hint=f"banger vm delete {' '.join(users)}",
        )
    await asyncio.to_thread(images.delete_image, engine.layout, image)
    await asyncio.to_thread(templates.remove_templates_of, engine.layout, image.digest)
    return Deleted(ids=[image.digest])


async def list_kernels(engine: Engine) -> list[Kernel]:
    """Return every kernel, by name."""
    return await asyncio.to_thread(kernels.list_kernels, engine.layout)


async def pull_kernel(engine: Engine, op: Operation, params: KernelPull) -> Kernel:
    """Fetch a kernel and build its initramfs."""
    return await _pull(engine, params.name, op.progress, force=params.force)


async def ensure_image(engine: Engine, name: str, progress: Progress) -> Image:
    """Return the image of this name or digest, built or pulled now if it can be.

    A bare word is never pulled: a slip in the name of an own image must not run what a
    stranger has put under it in a public registry.

    Raises:
        ImageNotFound: it is neither here nor in the catalogue, and no reference.
    """
    image = await asyncio.to_thread(images.find_image, engine.layout, name)
    if image is not None:
        return image
    recipe = images.find_recipe(name)
    if recipe is not None:
        return await _build(engine, recipe, progress)
    if not any(mark in name for mark in "/:@"):
        raise ImageNotFound(
            f"There is no image {name}.", hint=f"banger image list, or: banger image pull {name}"
        )
    return await pull_reference(
        engine, registry.parse_reference(name), progress, platform=platforms.host_platform()
    )


async def ensure_kernel(engine: Engine, name: str, progress: Progress) -> Kernel:
    """Return the kernel of this name with an initramfs that carries our agent."""
    return await _pull(engine, name, progress, force=False)


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


async def _pull(engine: Engine, name: str, progress: Progress, *, force: bool) -> Kernel:
    agent, version = await asyncio.to_thread(find_agent)

    async def make(tell: Progress) -> Kernel:
        return await kernels.pull_kernel(
            engine.layout,
            name,
            agent=agent,
            agent_version=version,
            force=force,
            progress=tell,
            now=engine.now(),
        )

    return await engine.shared.run(f"kernel:{name}", make, progress)


@functools.cache
def find_agent() -> tuple[Path, str]:
    """Return the agent for this machine's architecture, and its version.

    Raises:
        HostNotReady: the package was built without it.
    """
    path = AGENT_FOLDER / platform.machine() / "banger-agent"
    if not path.exists():
        raise HostNotReady(
            f"This banger has no guest agent for {platform.machine()}.",
            hint="pipx reinstall banger (in a checkout: scripts/venv)",
        )
    return path, proc.run_sync([str(path), "--version"], deadline_s=10).text.strip()
