"""Views of images: with their disk usage and their users. Changes nothing (B8)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from banger import images, store, templates
from banger.api.method import serves
from banger.api.requests import ImageRef
from banger.api.results import CatalogueView, ImageView, LayerView
from banger.engine.state.engine import Engine
from banger.images.accounting import count_disk_use, count_owners
from banger.layout import Layout
from banger.model.artifacts import Image
from banger.model.vm import is_hidden


@serves("image.list")
async def list_images(engine: Engine) -> list[ImageView]:
    """Return every image, by name."""
    found = await asyncio.to_thread(images.list_images, engine.layout)
    return await _view(engine, found, found)


@serves("image.show")
async def show_image(engine: Engine, params: ImageRef) -> ImageView:
    """Return one image.

    Raises:
        ImageNotFound: there is none of this name or digest.
    """
    image = await asyncio.to_thread(images.get_image, engine.layout, params.ref)
    found = await asyncio.to_thread(images.list_images, engine.layout)
    (view,) = await _view(engine, [image], found)
    return view


@serves("image.catalog")
async def list_catalogue(engine: Engine) -> list[CatalogueView]:
    """Return the images that can be built by their name, and which of them are here."""
    here = await asyncio.to_thread(images.image_names, engine.layout)
    return [
        CatalogueView(
            name=known.name,
            suite=known.suite,
            summary=known.summary,
            digest=here.get(known.name),
        )
        for known in images.CATALOGUE.values()
    ]


async def _view(engine: Engine, shown: Sequence[Image], found: Sequence[Image]) -> list[ImageView]:
    kept = await asyncio.to_thread(_measure_kept, engine.layout, found)
    use, owners = count_disk_use(found, kept), count_owners(found)
    names: dict[str, list[str]] = {}
    for name, digest in sorted(
        (await asyncio.to_thread(images.image_names, engine.layout)).items()
    ):
        names.setdefault(digest, []).append(name)
    vms: dict[str, list[str]] = {}
    for record in await engine.database.read(store.load_vms):
        if not is_hidden(record):
            vms.setdefault(record.spec.image, []).append(record.spec.name)
    made: dict[str, int] = {}
    for template, _, _ in await asyncio.to_thread(templates.list_templates, engine.layout):
        if template is not None:
            made[template.image] = made.get(template.image, 0) + 1
    return [
        ImageView(
            **{key: getattr(image, key) for key in Image.__struct_fields__ if key != "layers"},
            names=names.get(image.digest, []),
            layers=tuple(
                LayerView(
                    digest=part.digest,
                    size_bytes=part.size_bytes,
                    kept=part.digest in kept,
                    images=owners[part.digest],
                )
                for part in image.layers
            ),
            **msgspec.structs.asdict(use[image.digest]),
            users=vms.get(image.digest, []),
            templates=made.get(image.digest, 0),
        )
        for image in shown
    ]


def _measure_kept(layout: Layout, found: Sequence[Image]) -> dict[str, int]:
    """Return the sizes of the layers that are in the cache, by digest."""
    digests = {part.digest for image in found for part in image.layers}
    blobs = {digest: layout.blob(digest.removeprefix("sha256:")) for digest in digests}
    return {digest: blob.stat().st_size for digest, blob in blobs.items() if blob.is_file()}
