"""`image.*`, `vm.commit`: make, list and remove images."""

from __future__ import annotations

from banger import engine as verbs
from banger.api.requests import (
    ImageBuild,
    ImageImport,
    ImagePrune,
    ImagePull,
    ImageRef,
    ImageRegister,
    NoParams,
    VmCommit,
)
from banger.api.results import CatalogueView, Deleted, ImageView, Pruned
from banger.daemon.calls import Call, Handlers
from banger.engine import Engine
from banger.model.artifacts import Image


def image_handlers(engine: Engine) -> Handlers:
    """Return the handlers of images."""

    async def list_images(_: Call, __: NoParams) -> list[ImageView]:
        return await verbs.list_images(engine)

    async def show_image(_: Call, params: ImageRef) -> ImageView:
        return await verbs.show_image(engine, params)

    async def catalogue(_: Call, __: NoParams) -> list[CatalogueView]:
        return await verbs.list_catalogue(engine)

    async def build_image(call: Call, params: ImageBuild) -> Image:
        return await verbs.build_image(engine, call.operation, params)

    async def import_image(call: Call, params: ImageImport) -> Image:
        return await verbs.import_image(engine, call.operation, params)

    async def register_image(call: Call, params: ImageRegister) -> Image:
        return await verbs.register_image(engine, call.operation, params)

    async def promote_image(call: Call, params: ImageRef) -> Image:
        return await verbs.promote_image(engine, call.operation, params)

    async def commit_vm(call: Call, params: VmCommit) -> Image:
        return await verbs.commit_vm(engine, call.operation, params)

    async def pull_image(call: Call, params: ImagePull) -> Image:
        return await verbs.pull_image(engine, call.operation, params)

    async def prune_images(_: Call, params: ImagePrune) -> Pruned:
        return await verbs.prune_images(engine, params)

    async def delete_image(_: Call, params: ImageRef) -> Deleted:
        return await verbs.delete_image(engine, params)

    return {
        "image.list": list_images,
        "image.show": show_image,
        "image.catalog": catalogue,
        "image.build": build_image,
        "image.import": import_image,
        "image.delete": delete_image,
        "image.pull": pull_image,
        "image.prune": prune_images,
        "image.register": register_image,
        "image.promote": promote_image,
        "vm.commit": commit_vm,
    }
