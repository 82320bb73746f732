"""A pull without a daemon: the registry client, with lock L4 as the engine has it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from banger.engine.state.shared import SharedWork
from banger.engine.state.tasks import OwnedTasks
from banger.images.content import ImageConfig, LayerBlob, Platform
from banger.images.registry import (
    Resolved,
    Source,
    open_pull,
    parse_reference,
    pull_deadline,
)
from banger.layout import Layout
from banger.model.registries import Registries

AMD64 = Platform(os="linux", architecture="amd64")
T = TypeVar("T")


@dataclass(frozen=True)
class Pulled:
    """An image whose parts are all here."""

    config: ImageConfig
    layers: list[LayerBlob]


def make_layout(root: Path) -> Layout:
    return Layout(
        config=root / "c", data=root / "d", state=root / "s", cache=root / "k", runtime=root / "r"
    )


def ignore(*_: object) -> None:
    """Nobody listens."""


@dataclass
class Puller:
    """What a daemon would pull with."""

    layout: Layout
    share: SharedWork
    threads: ThreadPoolExecutor
    registries: Registries = field(default_factory=Registries)
    environ: Mapping[str, str] = field(default_factory=dict)
    signer: str | None = None
    """Who has signed what was pulled last."""

    async def pull(
        self,
        reference: str,
        *,
        platform: Platform = AMD64,
        insecure: bool = False,
        progress: Callable[..., None] = ignore,
    ) -> tuple[Resolved, Pulled]:
        source = Source(
            layout=self.layout,
            registries=self.registries,
            threads=self.threads,
            share=self.share.run,
            environ=self.environ,
            insecure=insecure,
        )
        parsed = parse_reference(reference)
        async with pull_deadline(parsed), open_pull(source, parsed, platform) as work:
            resolved = await work.resolve(parsed)
            signer = await work.require_signature(resolved)
            self.signer = str(signer) if signer else None
            config = await work.fetch_config(resolved)
            async with work.open_layers(resolved, config, progress) as layers:
                return resolved, Pulled(config, [layer async for layer in layers])

    def count_askers(self, digest: str) -> int:
        """Return how many pulls wait for a blob at this moment."""
        work = self.share._running.get(f"blob:{digest}")
        return len(work.listeners) if work else 0

    def blobs(self) -> set[str]:
        """Return the digests of what the cache holds."""
        folder = self.layout.blobs / "sha256"
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    def partial(self) -> list[Path]:
        """Return the files of broken-off downloads."""
        folder = self.layout.partial_blobs
        return list(folder.iterdir()) if folder.is_dir() else []


@contextlib.asynccontextmanager
async def a_puller(
    root: Path, *, registries: Registries | None = None, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Puller]:
    tasks = OwnedTasks()
    with threads() as pool:
        try:
            yield Puller(
                layout=make_layout(root),
                share=SharedWork(tasks),
                threads=pool,
                registries=registries or Registries(),
                environ=environ or {"HOME": str(root)},
            )
        finally:
            await tasks.close()


@contextlib.contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def run(work: Coroutine[object, object, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 100))
