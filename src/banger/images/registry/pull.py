"""Pull an image: from a reference to verified blobs in the cache and a parsed configuration.

    endpoints (mirrors, registry) -> manifest, maybe by an index -> configuration, layers (parallel)

Each blob is fetched under lock L4 with its digest (`share`): two images with a layer in common
download it once, and when one of two callers is cancelled the other's download continues. Only
blobs are published here; if the process dies, verified and partial blobs are left.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from msgspec import Struct

from banger.errors import (
    DeadlineExceeded,
    ImageInvalid,
    ImageNotFound,
    ImageUnsupported,
    ImageUntrusted,
    NoSpace,
    RegistryDenied,
    RegistryMisbehaved,
    RegistryUnreachable,
)
from banger.host.files import ensure_private_dir
from banger.host.http.client import Client
from banger.images.content import (
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    Platform,
    parse_config,
    parse_manifest_or_index,
    require_same_layers,
)
from banger.images.platforms import choose_manifest, is_for
from banger.images.registry.blobs import find_blob
from banger.images.registry.endpoints import find_endpoints
from banger.images.registry.layer_downloads import LayerDownloads, Meter, ignore
from banger.images.registry.reference import Reference
from banger.images.registry.repository_client import RepositoryClient
from banger.images.registry.signature_policy import Policy, load_keys, require_signature
from banger.images.signature import PublicKey
from banger.layout import Layout
from banger.model.progress import Progress
from banger.model.registries import Registries
from banger.sizes import format_size

log = logging.getLogger(__name__)

PULL_DEADLINE_S = 3600.0
PARALLEL_LAYERS = 4

T = TypeVar("T")
FAILURES_OF_A_MIRROR = (
    ImageInvalid,
    ImageNotFound,
    ImageUntrusted,
    RegistryDenied,
    RegistryMisbehaved,
    RegistryUnreachable,
)
"""Failures after which the next endpoint is tried."""


class Share(Protocol):
    """Lock L4: `make` runs once for all who ask for `key` at the same time."""

    async def __call__(
        self, key: str, make: Callable[[Progress], Awaitable[T]], progress: Progress, /
    ) -> T:
        """Return the result of `make`."""


@dataclass(frozen=True)
class Source:
    """What a pull needs besides the reference."""

    layout: Layout
    registries: Registries
    threads: Executor
    """The daemon's, not one pull's: a download may outlive the pull that began it."""
    share: Share
    environ: Mapping[str, str]
    """The caller's environment, which says where Docker keeps credentials."""
    insecure: bool = False


class Resolved(Struct, frozen=True, kw_only=True):
    """The image that a reference means at this moment, for one platform."""

    reference: Reference
    digest: str
    """Of the manifest, which an index may have led to."""
    index_digest: str | None = None
    manifest: Manifest

    @property
    def pinned(self) -> str:
        """The reference that means exactly this image, whatever becomes of the tag."""
        return self.reference.pin(self.digest)


class Pull:
    """One pull: `resolve`, `require_signature`, `fetch_config`, `open_layers`."""

    def __init__(
        self, source: Source, repositories: Sequence[RepositoryClient], platform: Platform
    ) -> None:
        self._source = source
        self._repositories = list(repositories)
        self._platform = platform

    async def resolve(self, reference: Reference) -> Resolved:
        """Return the manifest that the reference means now; prefer its endpoint from then on.

        Raises:
            ImageNotFound: there is none.
            ImageUnsupported: it is not for the platform, or no image.
            ImageInvalid, RegistryDenied, RegistryUnreachable, RegistryMisbehaved: as they say.
        """

        async def ask(repository: RepositoryClient) -> Resolved:
            resolved = await self._resolve_at(repository, reference)
            self._repositories.remove(repository)
            self._repositories.insert(0, repository)
            return resolved

        return await self._at_first(ask)

    async def require_signature(self, resolved: Resolved) -> PublicKey | None:
        """Return the key that has signed the image; None if it need not be signed.

        Raises:
            ImageUntrusted: it is to be signed, and is not.
            ConfigInvalid, ToolMissing: a key cannot be read, or used.
            RegistryDenied, RegistryUnreachable: as they say.
        """
        reference = resolved.reference
        names = self._source.registries.signers(reference.registry, reference.repository)
        if not names:
            return None
        policy = Policy(
            reference=reference,
            digests=tuple(d for d in (resolved.index_digest, resolved.digest) if d),
            keys=await asyncio.to_thread(load_keys, names),
        )
        fetch = functools.partial(self._fetch_blob, progress=ignore)
        staging = self._source.layout.staging
        return await self._at_first(
            lambda repository: require_signature(repository, policy, fetch=fetch, staging=staging)
        )

    async def fetch_config(self, resolved: Resolved) -> ImageConfig:
        """Return the configuration, which is for the platform that was asked for.

        Raises:
            ImageUnsupported: it is for another.
            ImageInvalid, RegistryDenied, RegistryUnreachable, RegistryMisbehaved: as they say.
        """
        path = await self._fetch_blob(resolved.manifest.config, ignore)
        config = parse_config(await asyncio.to_thread(path.read_bytes))
        require_same_layers(resolved.manifest, config)
        if not is_for(config.platform, self._platform):
            raise ImageUnsupported(f"The image is for {config.platform}, not for {self._platform}.")
        return config

    @contextlib.asynccontextmanager
    async def open_layers(
        self, resolved: Resolved, config: ImageConfig, progress: Progress
    ) -> AsyncIterator[LayerDownloads]:
        """Download the layers into the cache, several at once, for a block that awaits each.

        Raises:
            NoSpace: the cache's file system has not the room.
            ImageInvalid, RegistryDenied, RegistryUnreachable, RegistryMisbehaved: as they say.
        """
        manifest = resolved.manifest
        await asyncio.to_thread(self._require_space, manifest.layers)
        meter = Meter(manifest.layers, progress)
        slots = asyncio.Semaphore(PARALLEL_LAYERS)

        async def fetch(layer: Descriptor) -> Path:
            async with slots:
                with meter.counting(layer) as count:
                    return await self._fetch_blob(layer, count)

        tasks = {
            digest: asyncio.create_task(fetch(layer))
            for digest, layer in {layer.digest: layer for layer in manifest.layers}.items()
        }
        try:
            yield LayerDownloads(manifest, config, tasks)
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _resolve_at(self, repository: RepositoryClient, reference: Reference) -> Resolved:
        document = await repository.fetch_manifest(reference.wanted)
        found = parse_manifest_or_index(document.untrusted, media_type=document.media_type)
        index_digest = None
        if isinstance(found, Index):
            index_digest = document.digest
            chosen = choose_manifest(found, self._platform)
            document = await repository.fetch_manifest(chosen.digest)
            found = parse_manifest_or_index(
                document.untrusted, media_type=chosen.media_type or None
            )
        if isinstance(found, Index):
            raise ImageUnsupported(f"{reference.familiar} is an index of indexes, not an image.")
        return Resolved(
            reference=reference,
            digest=document.digest,
            index_digest=index_digest,
            manifest=found,
        )

    async def _fetch_blob(self, wanted: Descriptor, progress: Progress) -> Path:
        """Return the file of a blob, from the cache or from the first endpoint that has it."""
        layout = self._source.layout

        async def make(tell: Progress) -> Path:
            found = await asyncio.to_thread(find_blob, layout, wanted)
            if found is not None:
                return found
            loop = asyncio.get_running_loop()

            def count(size: int) -> None:
                loop.call_soon_threadsafe(tell, wanted.digest, size, wanted.size)

            return await self._at_first(
                lambda repository: repository.download(layout, wanted, count)
            )

        return await self._source.share(f"blob:{wanted.digest}", make, progress)

    async def _at_first(self, ask: Callable[[RepositoryClient], Awaitable[T]]) -> T:
        """Return the answer of the first endpoint that has one; the last one's failure counts."""
        *mirrors, last = list(self._repositories)
        for repository in mirrors:
            try:
                return await ask(repository)
            except FAILURES_OF_A_MIRROR as error:
                log.warning("skipping %s: %s", repository.endpoint.registry, error)
        return await ask(last)

    def _require_space(self, layers: Sequence[Descriptor]) -> None:
        """Refuse what cannot fit before it is downloaded (A10)."""
        blobs = ensure_private_dir(self._source.layout.blobs)
        missing = sum(
            layer.size
            for layer in {layer.digest: layer for layer in layers}.values()
            if not self._source.layout.blob(layer.hex).exists()
        )
        free = shutil.disk_usage(blobs).free
        if missing > free:
            raise NoSpace(
                f"The layers take {format_size(missing // 2**20)}, but only "
                f"{format_size(free // 2**20)} are free in {blobs}.",
                hint="banger image prune --dry-run",
            )


@contextlib.asynccontextmanager
async def open_pull(
    source: Source, reference: Reference, platform: Platform
) -> AsyncIterator[Pull]:
    """Find the endpoints of a reference, and keep connections to them for the block.

    Raises:
        RegistryUnreachable: a registry on loopback cannot be reached.
    """
    endpoints = await find_endpoints(
        reference, source.registries, insecure=source.insecure, threads=source.threads
    )
    with contextlib.closing(Client(source.environ)) as client:
        repositories = [
            RepositoryClient(at, source.threads, client, source.environ) for at in endpoints
        ]
        yield Pull(source, repositories, platform)


@contextlib.asynccontextmanager
async def pull_deadline(reference: Reference) -> AsyncIterator[None]:
    """Limit the time that all requests of a pull may take together.

    Raises:
        DeadlineExceeded: the time is over.
    """
    try:
        async with asyncio.timeout(PULL_DEADLINE_S):
            yield
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"Pulling {reference.familiar} took longer than {PULL_DEADLINE_S / 60:g} minutes.",
            retryable=True,
        ) from error
