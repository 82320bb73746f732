"""Layers while they are downloaded: handed out in order, with the progress of each.

In memory only; the tasks that bring them are the pull's.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

from banger.images.content import (
    Descriptor,
    ImageConfig,
    LayerBlob,
    Manifest,
    parse_compression,
)
from banger.model.progress import Part, Progress

DOWNLOADING = "downloading layers"


class LayerDownloads:
    """The layers of an image in their order, the lowest first, each as soon as it is here."""

    def __init__(
        self, manifest: Manifest, config: ImageConfig, tasks: Mapping[str, asyncio.Task[Path]]
    ) -> None:
        self._manifest = manifest
        self._config = config
        self._tasks = tasks

    @property
    def are_here(self) -> bool:
        """Whether no download is going on."""
        return all(task.done() for task in self._tasks.values())

    async def __aiter__(self) -> AsyncIterator[LayerBlob]:
        """Yield the layers.

        Raises:
            BangerError: a download failed, be it the next layer's or a later one's.
        """
        for layer, diff_id in zip(self._manifest.layers, self._config.diff_ids, strict=True):
            yield LayerBlob(
                path=await self._wait_for(self._tasks[layer.digest]),
                digest=layer.digest,
                diff_id=diff_id,
                compression=parse_compression(layer.media_type),
                size=layer.size,
            )

    async def _wait_for(self, task: asyncio.Task[Path]) -> Path:
        while not task.done():
            going_on = [other for other in self._tasks.values() if not other.done()]
            done, _ = await asyncio.wait(going_on, return_when=asyncio.FIRST_COMPLETED)
            for other in done:
                other.result()
        return task.result()


class Meter:
    """Tells of all layers together, and of each that is on its way."""

    def __init__(self, layers: Sequence[Descriptor], progress: Progress) -> None:
        self._done = {layer.digest: 0 for layer in layers}
        self._total = sum({layer.digest: layer.size for layer in layers}.values())
        self._coming: dict[str, Descriptor] = {}
        self._progress = progress

    @contextlib.contextmanager
    def counting(self, layer: Descriptor) -> Iterator[Progress]:
        """Count a layer, which comes within the block; yield what takes its own progress."""
        self._coming[layer.digest] = layer
        try:
            yield functools.partial(self._take, layer)
            self._done[layer.digest] = layer.size
        finally:
            del self._coming[layer.digest]
        self._tell()

    def _take(self, layer: Descriptor, _: str, done: int | None = None, *__: object) -> None:
        self._done[layer.digest] = done or 0
        self._tell()

    def _tell(self) -> None:
        coming = self._coming.values()
        parts = (Part(layer.hex[:12], self._done[layer.digest], layer.size) for layer in coming)
        self._progress(DOWNLOADING, sum(self._done.values()), self._total, tuple(parts))


def ignore(*_: object) -> None:
    """Take the progress of what is too small to show."""
