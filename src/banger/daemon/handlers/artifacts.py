"""`image.*`, `kernel.*`, `template.*`, `gc`."""

from __future__ import annotations

from banger import engine as verbs
from banger.api.methods import (
    Deleted,
    Gc,
    ImageBuild,
    ImageImport,
    ImagePrune,
    ImagePull,
    ImageRef,
    KernelPull,
    Leftover,
    NoParams,
    Pruned,
    TemplateBuild,
    TemplateRef,
    TemplateView,
)
from banger.daemon.calls import Call, Handlers
from banger.engine import Engine
from banger.model.artifacts import Image, Kernel


def artifact_handlers(engine: Engine) -> Handlers:
    """Return the handlers of images, kernels, templates and leftovers."""

    async def list_images(_: Call, __: NoParams) -> list[Image]:
        return await verbs.list_images(engine)

    async def show_image(_: Call, params: ImageRef) -> Image:
        return await verbs.show_image(engine, params)

    async def build_image(call: Call, params: ImageBuild) -> Image:
        return await verbs.build_image(engine, call.operation, params)

    async def import_image(call: Call, params: ImageImport) -> Image:
        return await verbs.import_image(engine, call.operation, params)

    async def pull_image(call: Call, params: ImagePull) -> Image:
        return await verbs.pull_image(engine, call.operation, params)

    async def prune_images(_: Call, params: ImagePrune) -> Pruned:
        return await verbs.prune_images(engine, params)

    async def delete_image(_: Call, params: ImageRef) -> Deleted:
        return await verbs.delete_image(engine, params)

    async def list_kernels(_: Call, __: NoParams) -> list[Kernel]:
        return await verbs.list_kernels(engine)

    async def pull_kernel(call: Call, params: KernelPull) -> Kernel:
        return await verbs.pull_kernel(engine, call.operation, params)

    async def list_templates(_: Call, __: NoParams) -> list[TemplateView]:
        return await verbs.list_templates(engine)

    async def build_template(call: Call, params: TemplateBuild) -> TemplateView:
        return await verbs.build_template_now(engine, call.operation, params)

    async def delete_template(_: Call, params: TemplateRef) -> Deleted:
        return await verbs.delete_template(engine, params)

    async def prune_templates(_: Call, __: NoParams) -> Deleted:
        return await verbs.prune_templates(engine)

    async def collect(_: Call, params: Gc) -> list[Leftover]:
        return await verbs.collect_garbage(engine, params)

    return {
        "image.list": list_images,
        "image.show": show_image,
        "image.build": build_image,
        "image.import": import_image,
        "image.delete": delete_image,
        "image.pull": pull_image,
        "image.prune": prune_images,
        "kernel.list": list_kernels,
        "kernel.pull": pull_kernel,
        "template.list": list_templates,
        "template.build": build_template,
        "template.delete": delete_template,
        "template.prune": prune_templates,
        "gc": collect,
    }
