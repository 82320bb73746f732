"""Images of registries: pulled once for all requests (lock L4), and removed when unused.

L4 is held with the reference and the platform, and below it with each blob's digest. While a pull
runs, no blob of the cache is removed (hazard C4): a note in memory is enough, since only
the daemon touches the cache. If the daemon dies, verified and partial blobs are left, and nothing
in the store of images (A9).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from banger import images, templates
from banger.api.method import serves
from banger.api.requests import ImagePrune, ImagePull
from banger.api.results import Pruned
from banger.engine.state.engine import Engine
from banger.engine.state.operations import Operation
from banger.engine.state.shared import Progress
from banger.engine.verbs.imageusers import ImageUsers, load_image_users, needing_image
from banger.images import platforms, registry
from banger.images.content import Platform
from banger.model.artifacts import Image

BLOB_PIN = "blobs"
SOURCE = "registry:"
"""Begins the source of an image that came from a registry; the pinned reference follows."""


@serves("image.pull")
async def pull_image(engine: Engine, op: Operation, params: ImagePull) -> Image:
    """Pull an image, or find that what the reference means is here, and return it.

    Raises:
        ReferenceInvalid, InvalidRequest: the reference or the platform is none.
        ImageNotFound, ImageInvalid, ImageUnsupported: of the image.
        ImageUntrusted: it is not signed as the configuration wants it.
        RegistryDenied, RegistryUnreachable, RegistryMisbehaved: of the registry.
        NoSpace, DeadlineExceeded: as they say.
    """
    reference = registry.parse_reference(params.ref)
    platform = (
        platforms.parse_platform(params.platform) if params.platform else platforms.host_platform()
    )
    async with needing_image(engine, op, reference.familiar):
        image = await pull_reference(
            engine, reference, op.progress, platform=platform, insecure=params.insecure
        )
    tell_unrunnable(op, image)
    return image


def tell_unrunnable(op: Operation, image: Image) -> None:
    """Tell the user of an image that commands cannot run in it, if that is so."""
    if not image.has_programs:
        op.note("notice", f"{image.name} contains no programs: commands cannot run in it.")


async def pull_reference(
    engine: Engine,
    reference: registry.Reference,
    progress: Progress,
    *,
    platform: Platform,
    insecure: bool = False,
) -> Image:
    """As `pull_image`; the image is named as the reference is written in short."""
    # Of this request: the work may be done in another one's task.
    environ = engine.caller_environ()
    registries = engine.settings.registries

    async def make(tell: Progress) -> Image:
        source = registry.Source(
            layout=engine.layout,
            registries=registries,
            threads=engine.transfers,
            share=engine.shared.run,
            environ=environ,
            insecure=insecure,
        )
        async with registry.pull_deadline(reference):
            tell(f"asking {reference.registry}")
            with _pinned_blobs(engine):
                async with registry.open_pull(source, reference, platform) as work:
                    image = await _pull(engine, work, reference, platform, tell)
        await _trim_blobs(engine, keep_bytes=registry.KEPT_BYTES_MAX)
        return image

    who = hash(frozenset(environ.items()))
    return await engine.shared.run(f"pull:{reference}:{platform}:{insecure}:{who}", make, progress)


@serves("image.prune")
async def prune_images(engine: Engine, params: ImagePrune) -> Pruned:
    """Delete images that have lost their name, or all unused ones; and the blob cache.

    Templates that were made from a deleted image go with it.
    """
    async with engine.removals:
        users = await load_image_users(engine)
        ids = await asyncio.to_thread(_prune, engine, params, users)
    freed = await _trim_blobs(engine, keep_bytes=0, dry_run=params.dry_run)
    return Pruned(ids=ids, blob_bytes=freed)


def _prune(engine: Engine, params: ImagePrune, users: ImageUsers) -> list[str]:
    named = images.named_digests(engine.layout)
    going = [
        image
        for image in images.list_images(engine.layout)
        if (params.all or image.digest not in named) and not users.is_used(image)
    ]
    for image in going if not params.dry_run else []:
        images.delete_image(engine.layout, image)
        templates.remove_templates_of(engine.layout, image.digest)
    return [image.digest for image in going]


async def _pull(
    engine: Engine,
    work: registry.Pull,
    reference: registry.Reference,
    platform: Platform,
    tell: Progress,
) -> Image:
    resolved = await work.resolve(reference)
    origin = SOURCE + resolved.pinned
    # Before anything of it is looked at, also of what is here: the policy may be younger.
    signer = await work.require_signature(resolved)
    signed_by = str(signer) if signer else ""
    tell("looking for a local copy")
    known = await asyncio.to_thread(_find_by_source, engine, origin, platform)
    async with engine.removals:  # What was found may be gone; while it gets its name it stays.
        if known is not None and images.find_image(engine.layout, known.digest) is not None:
            images.name_image(engine.layout, known, reference.familiar)
            if signer and known.signed_by != signed_by:
                images.note_signer(engine.layout, known, signed_by)
            return images.get_image(engine.layout, reference.familiar)
    config = await work.fetch_config(resolved)
    async with work.open_layers(resolved, config, tell) as layers:

        def tell_conversion(stage: str, done: int | None = None, total: int | None = None) -> None:
            # One stage at a time is shown, and what is waited for is the slower.
            if layers.are_here:
                tell(stage, done, total)

        return await images.make_image(
            engine.layout,
            aiter(layers),
            config,
            name=reference.familiar,
            source=origin,
            signed_by=signed_by,
            progress=tell_conversion,
            now=engine.now(),
        )


def _find_by_source(engine: Engine, origin: str, platform: Platform) -> Image | None:
    """Return the intact image for a platform that came from there."""
    for image in images.list_images(engine.layout):
        is_it = image.source == origin and platforms.is_for(
            platforms.parse_platform(image.platform), platform
        )
        if is_it and images.is_intact(engine.layout, image):
            return image
    return None


@contextlib.contextmanager
def _pinned_blobs(engine: Engine) -> Iterator[None]:
    """Keep every blob of the cache for a block."""
    engine.pins[BLOB_PIN].append("image.pull")
    try:
        yield
    finally:
        engine.pins[BLOB_PIN].pop()


async def _trim_blobs(engine: Engine, *, keep_bytes: int, dry_run: bool = False) -> int:
    """Make the cache small, unless a pull runs; return the bytes freed."""
    if engine.pins[BLOB_PIN]:
        return 0
    # Not in a thread: no pull can begin meanwhile. It is a look at a few files.
    return registry.trim_blobs(
        engine.layout, now=engine.now(), keep_bytes=keep_bytes, dry_run=dry_run
    )
