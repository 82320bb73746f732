"""Who uses an image or a template, and that it is kept for them (C4): real rows, no VM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from msgspec.structs import replace

from banger.api.requests import ImagePrune, ImageRef, TemplateRef, VmCreate
from banger.config import load_settings
from banger.engine import Engine, open_engine
from banger.engine.state.operations import Operation
from banger.engine.state.pins import pinned
from banger.engine.verbs import create as creation
from banger.engine.verbs.create import create_vm
from banger.engine.verbs.images import delete_image
from banger.engine.verbs.imageusers import needing_image
from banger.engine.verbs.pull import prune_images
from banger.engine.verbs.templates import delete_template, list_templates
from banger.engine.views.images import list_images
from banger.errors import Cancelled, ImageInUse, ImageNotFound, TemplateInUse
from banger.images.local import name_image, open_store
from banger.layout import Layout, layout_from_environment
from banger.model.artifacts import Image
from banger.model.vm import Pooled, VmSpec, VmState, template_origin
from tests.component.engine.test_kernels import make_template
from tests.component.engine.test_recovery import insert, record

OLD, NEW = "a1" * 32, "b2" * 32
NAME = "docker.io/library/busybox:1.36"


@pytest.fixture
def layout(private_environ: dict[str, str]) -> Layout:
    """Two images; `busybox:1.36` was OLD and is NEW now."""
    layout = layout_from_environment(private_environ)
    for digest in (OLD, NEW):
        staged = layout.staging / digest
        staged.mkdir(parents=True)
        (staged / "root").write_bytes(b"root")
        image = Image(
            digest=digest,
            name="busybox:1.36",
            created_at=1,
            size_bytes=4,
            root="root",
            root_sha256="0" * 64,
            init=None,
            source="test",
        )
        open_store(layout).publish(staged, image)
    return layout


def with_engine(layout: Layout, work: Callable[[Engine], Coroutine[object, object, None]]) -> None:
    async def run() -> None:
        async with open_engine(layout, lambda: load_settings(layout.config_file, {})) as engine:
            await work(engine)

    asyncio.run(asyncio.wait_for(run(), 60))


async def digests(engine: Engine) -> set[str]:
    return {image.digest for image in await list_images(engine)}


@pytest.mark.parametrize("ref", ["busybox:1.36", NAME, NEW[:12], "alias"])
def test_an_image_that_an_operation_needs_is_not_removed(layout: Layout, ref: str) -> None:
    """C4: between being found and being named in a record, by whatever name it was found."""

    async def work(engine: Engine) -> None:
        image = next(image for image in await list_images(engine) if image.digest == NEW)
        name_image(engine.layout, image, "alias")
        op = engine.new_operation("vm.create")
        async with needing_image(engine, op, ref):
            with pytest.raises(ImageInUse, match=rf"vm\.create \({op.id}\)") as caught:
                await delete_image(engine, ImageRef(ref=NEW))
            assert caught.value.hint == "banger operations list"
            await prune_images(engine, ImagePrune(all=True))
            assert NEW in await digests(engine)
        await delete_image(engine, ImageRef(ref=NEW))
        assert NEW not in await digests(engine)

    with_engine(layout, work)


def test_a_create_needs_its_image_until_it_is_recorded(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4: nothing of the image is there for a VM whose record comes a moment later."""

    async def resolve(engine: Engine, _: Operation, params: VmCreate) -> VmSpec:
        with pytest.raises(ImageInUse):
            await delete_image(engine, ImageRef(ref="busybox:1.36"))
        raise Cancelled("The test has seen enough.")

    monkeypatch.setattr(creation, "resolve_spec", resolve)

    async def work(engine: Engine) -> None:
        op, params = engine.new_operation("vm.create"), VmCreate(image="busybox:1.36")
        with pytest.raises(Cancelled):
            await create_vm(engine, op, params)
        await delete_image(engine, ImageRef(ref="busybox:1.36"))

    with_engine(layout, work)


def test_an_image_that_a_vm_is_made_of_is_kept(layout: Layout) -> None:
    """C4: the VM is named; what nobody uses and no name means goes."""

    async def work(engine: Engine) -> None:
        made = record(VmState.STOPPED)
        await insert(engine, replace(made, spec=replace(made.spec, image=NEW)))
        with pytest.raises(ImageInUse, match="is used by: calm-otter") as caught:
            await delete_image(engine, ImageRef(ref="busybox:1.36"))
        assert caught.value.hint == "banger vm list"
        pruned = await prune_images(engine, ImagePrune(all=True))
        assert pruned.ids == [OLD]
        with pytest.raises(ImageNotFound):
            await delete_image(engine, ImageRef(ref=OLD))

    with_engine(layout, work)


def test_a_clone_that_waits_keeps_its_image_from_a_prune(layout: Layout) -> None:
    """C4: it may be claimed a moment later; a deletion ends it first."""

    async def work(engine: Engine) -> None:
        made = record(VmState.PAUSED)
        await insert(
            engine, replace(made, spec=replace(made.spec, image=NEW), role=Pooled("calm-otter"))
        )
        assert (await prune_images(engine, ImagePrune(all=True))).ids == [OLD]

    with_engine(layout, work)


def test_templates_go_with_their_image(layout: Layout) -> None:
    """C4: a prune does not leave what can be started no more, and takes nothing else."""
    gone, kept = "c3" * 32, "d4" * 32
    make_template(layout, gone, "k" * 64, OLD)
    make_template(layout, kept, "k" * 64, NEW)

    async def work(engine: Engine) -> None:
        assert (await prune_images(engine, ImagePrune(dry_run=True))).ids == [OLD]
        assert {view.key for view in await list_templates(engine)} == {gone, kept}
        assert (await prune_images(engine, ImagePrune())).ids == [OLD]
        assert {view.key for view in await list_templates(engine)} == {kept}

    with_engine(layout, work)


def test_a_template_that_is_about_to_be_cloned_is_not_deleted(layout: Layout) -> None:
    """C4, H6: whoever pins it is named, also when no VM runs on it yet."""
    key = "c3" * 32
    make_template(layout, key, "k" * 64)

    async def work(engine: Engine) -> None:
        op = engine.new_operation("vm.create")
        with pinned(engine, op, template_origin(key)):
            with pytest.raises(TemplateInUse, match=rf"is used by: vm\.create \({op.id}\)\."):
                await delete_template(engine, TemplateRef(ref=key[:12]))
            assert (await list_templates(engine))[0].users == [f"vm.create ({op.id})"]
        assert not engine.pins
        await delete_template(engine, TemplateRef(ref=key[:12]))
        assert await list_templates(engine) == []

    with_engine(layout, work)
