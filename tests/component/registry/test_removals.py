"""Removals of images while a registry's is pulled (C4): a real registry, a real store, no VM."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from dataclasses import replace

import pytest

from banger.api.requests import ImagePrune, ImagePull, ImageRef
from banger.api.results import Deleted, Pruned
from banger.engine import Engine
from banger.engine.state.operations import Note, Progress
from banger.engine.verbs import pull as pulling
from banger.engine.verbs.images import delete_image
from banger.engine.verbs.pull import prune_images, pull_image
from banger.engine.views.images import list_images
from banger.errors import ImageInUse
from banger.images.content import Platform
from banger.layout import layout_from_environment
from banger.model.artifacts import Image
from tests.component.engine.test_image_users import with_engine
from tests.component.registry.conftest import Stocked


def test_what_a_pull_finds_is_not_deleted_before_it_has_its_name(
    stocked: Stocked, private_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """C4: it was here under another name, which is all that its deletion asks about."""
    by_tag = ImagePull(ref=f"{stocked.address}/test/x:image")

    async def work(engine: Engine) -> None:
        image = await pull_image(engine, engine.new_operation("image.pull"), by_tag)
        by_digest = ImagePull(ref=image.source.removeprefix(pulling.SOURCE))
        loop = asyncio.get_running_loop()
        find = pulling._find_by_source
        deletions: list[concurrent.futures.Future[Deleted]] = []

        def find_and_give_way(engine: Engine, origin: str, platform: Platform) -> Image | None:
            found = find(engine, origin, platform)
            deletion = delete_image(engine, ImageRef(ref=image.digest))
            deletions.append(asyncio.run_coroutine_threadsafe(deletion, loop))
            with contextlib.suppress(concurrent.futures.TimeoutError):
                deletions[0].result(0.5)
            return found

        monkeypatch.setattr(pulling, "_find_by_source", find_and_give_way)
        found = await pull_image(engine, engine.new_operation("image.pull"), by_digest)
        assert found.digest == image.digest
        with contextlib.suppress(ImageInUse):  # or it comes after the pull, and is fine
            await asyncio.wrap_future(deletions[0])

    with_engine(layout_from_environment(private_environ), work)


def test_a_prune_leaves_a_pull_what_has_come(
    stocked: Stocked, private_environ: dict[str, str]
) -> None:
    """C4: what is in the cache is not taken away under a pull; afterwards it is."""

    async def work(engine: Engine) -> None:
        prunes: list[asyncio.Task[Pruned]] = []

        def prune_once(said: Progress | Note) -> None:
            if isinstance(said, Progress) and said.stage == "downloading layers" and not prunes:
                prunes.append(asyncio.ensure_future(prune_images(engine, ImagePrune(all=True))))

        op = replace(engine.new_operation("image.pull"), report=prune_once)
        image = await pull_image(engine, op, ImagePull(ref=f"{stocked.address}/test/x:image"))
        assert (await prunes[0]).blob_bytes == 0
        assert [each.digest for each in await list_images(engine)] == [image.digest]
        pruned = await prune_images(engine, ImagePrune())
        assert pruned.ids == [] and pruned.blob_bytes > 3_000_000

    with_engine(layout_from_environment(private_environ), work)
