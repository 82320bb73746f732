"""Images whose recipe, one that comes with banger, has changed since they were built."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec
import pytest

from banger import images
from banger.config import load_settings
from banger.engine import Engine, open_engine
from banger.engine.state.operations import Note, Operation
from banger.engine.verbs.images import ensure_image
from banger.errors import ToolFailed
from banger.images import Recipe, find_image, find_recipe, find_recipe_hash
from banger.images.local import ROOT, open_store
from banger.layout import Layout, layout_from_environment
from banger.model.artifacts import Image

NAME = "debian-bookworm"
OLD, NEW = "1" * 64, "2" * 64


def publish(layout: Layout, digest: str, recipe: str) -> Image:
    staged = layout.staging / digest
    staged.mkdir(parents=True)
    (staged / ROOT).write_bytes(b"root")
    image = Image(
        digest=digest,
        name=NAME,
        created_at=1.0,
        size_bytes=4,
        root=ROOT,
        root_sha256="",
        init=None,
        source=f"recipe:{NAME}",
        recipe=recipe,
    )
    return open_store(layout).publish(staged, image)


class Builds:
    """Stands where images are built, which takes minutes; publishes, or fails."""

    def __init__(self) -> None:
        self.count = 0
        self.failure: ToolFailed | None = None

    async def __call__(self, layout: Layout, recipe: Recipe, **_: object) -> Image:
        self.count += 1
        if self.failure:
            raise self.failure
        return publish(layout, NEW, find_recipe_hash(recipe))


@pytest.fixture
def layout(private_environ: dict[str, str]) -> Layout:
    return layout_from_environment(private_environ)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Builds:
    builds = Builds()
    monkeypatch.setattr(images, "build_image", builds)
    return builds


def with_engine(layout: Layout, work: Callable[[Engine], Coroutine[object, object, None]]) -> None:
    async def run() -> None:
        async with open_engine(layout, lambda: load_settings(layout.config_file, {})) as engine:
            await work(engine)

    asyncio.run(run())


async def ensure(engine: Engine) -> tuple[Image, list[str]]:
    """Return the image that a VM would get, and what its user is told."""
    notes: list[str] = []
    op = engine.new_operation("vm.create")
    told = Operation(
        op.id,
        op.method,
        op.started_at,
        lambda e: notes.append(e.text) if isinstance(e, Note) else None,
    )
    return await ensure_image(engine, told, NAME), notes


def current() -> str:
    recipe = find_recipe(NAME)
    assert recipe is not None
    return find_recipe_hash(recipe)


@pytest.mark.parametrize("is_ours", [True, False])
def test_an_image_of_the_recipe_as_it_is_stays(
    layout: Layout, builds: Builds, is_ours: bool
) -> None:
    """And one that its user has built under that name, of another recipe, is the user's."""
    publish(layout, OLD, current() if is_ours else "")

    async def work(engine: Engine) -> None:
        image, notes = await ensure(engine)
        assert (image.digest, notes, builds.count) == (OLD, [], 0)

    with_engine(layout, work)


def test_a_changed_recipe_is_built_anew_and_the_old_image_stays(
    layout: Layout, builds: Builds
) -> None:
    """A7: VMs of the old one go on; `image prune` removes it when they are gone."""
    publish(layout, OLD, "of before")

    async def work(engine: Engine) -> None:
        image, notes = await ensure(engine)
        assert image.digest == NEW
        assert notes == [f"The recipe of {NAME} has changed; the image is rebuilt."]
        again, notes = await ensure(engine)
        assert (again.digest, notes, builds.count) == (NEW, [], 1)
        assert find_image(layout, OLD) is not None

    with_engine(layout, work)


def test_without_a_network_the_old_image_does(layout: Layout, builds: Builds) -> None:
    """And is not tried to be built again by every VM."""
    publish(layout, OLD, "of before")
    builds.failure = ToolFailed("apt-get failed.")

    async def work(engine: Engine) -> None:
        image, notes = await ensure(engine)
        assert image.digest == OLD
        assert notes[1:] == [f"{NAME} could not be built; using the old one: apt-get failed."]
        image, notes = await ensure(engine)
        assert (image.digest, builds.count) == (OLD, 1)
        assert notes == [f"{NAME} is older than its recipe."]

    with_engine(layout, work)


def test_only_what_comes_with_banger_has_a_hash(tmp_path: Path) -> None:
    recipe = find_recipe(NAME)
    assert recipe is not None
    more = msgspec.structs.replace(recipe, packages=(*recipe.packages, "jq"))
    assert len(current()) == 64
    assert find_recipe_hash(more) == ""
    assert find_recipe_hash(msgspec.structs.replace(recipe, name="mine")) == ""
