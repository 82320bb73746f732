"""Who uses a kernel, and that it is kept for them (C4): real rows, real files, no VM."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from banger import store
from banger.api.requests import KernelRef
from banger.config import load_settings
from banger.engine import Engine, open_engine
from banger.engine.verbs.kernels import delete_kernel, list_kernels, needing_kernel, prune_kernels
from banger.errors import KernelInUse, KernelNotFound
from banger.kernels.local import open_store
from banger.layout import Layout, layout_from_environment
from banger.model.artifacts import Kernel
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState
from banger.templates import DATA, MEMORY, STATE, SavedFiles, Template, publish_template
from tests.support.specs import make_spec

OLD, NEW, OTHER = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def layout(private_environ: dict[str, str]) -> Layout:
    """Three kernels; `one` was OLD and is NEW now."""
    layout = layout_from_environment(private_environ)
    for name, digest in (("one", OLD), ("one", NEW), ("other", OTHER)):
        staged = layout.staging / digest
        staged.mkdir(parents=True)
        for file in ("bzimage", "vmlinux", "initramfs", "config"):
            (staged / file).write_bytes(b"x")
        kernel = Kernel(
            digest=digest,
            name=name,
            version="6.1",
            arch="x86_64",
            created_at=1.0,
            bzimage="bzimage",
            vmlinux="vmlinux",
            initramfs="initramfs",
            config="config",
            modules=(),
            hashes={},
            agent_version="1",
        )
        open_store(layout).publish(staged, kernel)
    return layout


def with_engine(layout: Layout, work: Callable[[Engine], Coroutine[object, object, None]]) -> None:
    async def run() -> None:
        async with open_engine(layout, lambda: load_settings(layout.config_file, {})) as engine:
            await work(engine)

    asyncio.run(run())


async def insert_vm(engine: Engine, kernel: str) -> None:
    spec = make_spec(kernel=kernel, disk_mib=64, network="none")
    record = VmRecord(id=VmId("0123456789ab"), spec=spec, state=VmState.STOPPED, created_at=1.0)
    await engine.database.write(store.insert_vm, record)


def make_template(layout: Layout, key: str, kernel: str, image: str = "i" * 64) -> None:
    staged = layout.staging / key
    staged.mkdir(parents=True)
    for name in (MEMORY, STATE, DATA):
        (staged / name).write_bytes(b"x")
    template = Template(
        key=key,
        image=image,
        image_name="debian-bookworm",
        kernel=kernel,
        vcpu=1,
        memory_mib=512,
        disk_mib=64,
        created_at=1.0,
        saved=SavedFiles(state_sha256="", files={}),
    )
    assert publish_template(layout, staged, template)


async def digests(engine: Engine) -> set[str]:
    return {kernel.digest for kernel in await list_kernels(engine)}


def test_a_kernel_that_a_vm_or_a_template_uses_is_not_deleted(layout: Layout) -> None:
    """C4: the users are named; and the list tells who they are."""
    make_template(layout, "b" * 64, OTHER)

    async def work(engine: Engine) -> None:
        await insert_vm(engine, OTHER)
        with pytest.raises(KernelInUse, match="calm-otter, template bbbbbbbbbbbb") as caught:
            await delete_kernel(engine, KernelRef(ref="other"))
        assert caught.value.hint == "banger vm list"
        views = {view.digest: view for view in await list_kernels(engine)}
        assert views[OTHER].users == ["calm-otter", "template bbbbbbbbbbbb"]
        assert [views[digest].current for digest in (OLD, NEW, OTHER)] == [False, True, True]
        await delete_kernel(engine, KernelRef(ref="one"))
        assert await digests(engine) == {OLD, OTHER}
        with pytest.raises(KernelNotFound):
            await delete_kernel(engine, KernelRef(ref="one"))

    with_engine(layout, work)


@pytest.mark.parametrize("ref", ["other", OTHER[:12]])
def test_a_kernel_that_an_operation_needs_is_not_deleted(layout: Layout, ref: str) -> None:
    """C4: between being found and being named in a record."""

    async def work(engine: Engine) -> None:
        op = engine.new_operation("vm.create")
        async with needing_kernel(engine, op, ref):
            with pytest.raises(KernelInUse, match=rf"vm\.create \({op.id}\)"):
                await delete_kernel(engine, KernelRef(ref="other"))
        await delete_kernel(engine, KernelRef(ref="other"))
        assert OTHER not in await digests(engine)

    with_engine(layout, work)


def test_an_operation_waits_for_a_removal_that_is_under_way(layout: Layout) -> None:
    """C4: it would find a kernel that is gone when it is used."""

    async def work(engine: Engine) -> None:
        async def need() -> set[str]:
            async with needing_kernel(engine, engine.new_operation("vm.create"), "other"):
                return await digests(engine)

        async with engine.removals:
            waiting = asyncio.ensure_future(need())
            await asyncio.sleep(0)
            assert engine.kernel_needs  # a removal that begins now would see it
            await asyncio.to_thread(open_store(layout).remove, OTHER)
        assert OTHER not in await waiting
        assert engine.kernel_needs == {}

    with_engine(layout, work)


def test_prune_removes_what_was_replaced_with_its_templates(layout: Layout) -> None:
    """A6: nothing that a name still means, nothing else of the user's."""
    make_template(layout, "a" * 64, OLD)
    make_template(layout, "b" * 64, NEW)
    (layout.kernels / "notes").mkdir()

    async def work(engine: Engine) -> None:
        assert (await prune_kernels(engine)).ids == [OLD]
        assert await digests(engine) == {NEW, OTHER}
        assert [path.name for path in layout.templates.iterdir()] == ["b" * 64]
        assert (layout.kernels / "notes").is_dir()
        assert (await prune_kernels(engine)).ids == []

    with_engine(layout, work)


def test_prune_keeps_what_a_vm_boots_or_an_operation_needs(layout: Layout) -> None:
    make_template(layout, "a" * 64, OLD)

    async def work(engine: Engine) -> None:
        async with needing_kernel(engine, engine.new_operation("vm.create"), "one"):
            assert (await prune_kernels(engine)).ids == []
        await insert_vm(engine, OLD)
        assert (await prune_kernels(engine)).ids == []
        assert layout.template_dir("a" * 64).is_dir()

    with_engine(layout, work)
