"""Building an image: packages to a squashfs root through one pipe, without privilege.

    mmdebstrap --(tar)--> splice in a thread --(tar)--> sqfstar --> root.squashfs

Nothing of the tree touches a disk between the two but mmdebstrap's own work
directory. Owners, modes, devices, xattrs and capabilities go through in the tar (F2). The
root is hashed, the manifest is written last, and a rename publishes both (A7-A9). The
digest is a hash over the root and what a VM is told of it, so equal inputs give the same
image, and two recipes that differ in their init alone give two.

No locks: the engine has one per name; without it the first publisher wins (C3). A
cancellation kills both programs and removes what was staged.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from banger.errors import ToolMissing
from banger.host.files import staged_dir
from banger.host.mmdebstrap import bootstrap, check_with_space, require_mmdebstrap, watch
from banger.host.proc import Finished, find_tool, piped
from banger.host.shelf import hash_file
from banger.images.plan import (
    EPOCH,
    build_overlay,
    parse_dpkg_status,
    plan_bootstrap,
    plan_sqfstar,
)
from banger.images.recipe import Recipe, require_recipe
from banger.images.rootinode import set_root_inode
from banger.images.shelf import ROOT, is_intact, open_shelf
from banger.layout import Layout
from banger.model.artifacts import Image

Progress = Callable[[str, int | None, int | None], None]

SPLICE_BYTES = 1024 * 1024
REPORT_BYTES = 16 * 1024 * 1024
WRITING_ROOT = "writing the root"


async def build_image(layout: Layout, recipe: Recipe, *, progress: Progress, now: float) -> Image:
    """Build a recipe, name the image after it and return it. The same packages: the same image.

    `progress` is called on the event loop with a stage, and bytes while the root is written.

    Raises:
        RecipeInvalid: a value of the recipe has the wrong shape.
        ToolMissing, HostNotReady: the host lacks something.
        ToolFailed, DeadlineExceeded: the packages could not be fetched or installed.
        NoSpace: a file system is full.
    """
    require_recipe(recipe)
    require_image_tools()
    with staged_dir(layout.staging, prefix="image") as staged:
        packages = await _build_root(recipe, staged, progress)
        progress("hashing the root", None, None)
        root = staged / ROOT
        await asyncio.to_thread(set_root_inode, root, mtime=EPOCH)
        root_sha256 = await asyncio.to_thread(hash_file, root)
        image = Image(
            digest=_digest(recipe, root_sha256),
            name=recipe.name,
            created_at=now,
            size_bytes=root.stat().st_size,
            root=ROOT,
            root_sha256=root_sha256,
            init=recipe.init,
            source=f"recipe:{recipe.name}",
            env=recipe.env,
            packages=packages,
        )
        return await asyncio.to_thread(_publish, layout, staged, image)


def require_image_tools() -> None:
    """Check at once all that `build_image` needs of the host (H8).

    Raises:
        ToolMissing, HostNotReady: something is missing.
    """
    if find_tool("sqfstar") is None:
        raise ToolMissing("sqfstar (squashfs-tools 4.5) is not installed.", hint="banger setup")
    require_mmdebstrap()


async def _build_root(recipe: Recipe, staged: Path, progress: Progress) -> dict[str, str]:
    """Make the root below `staged`; return the packages that are in it."""
    overlay, status = staged / "overlay.tar", staged / "dpkg-status"
    overlay.write_bytes(build_overlay(recipe))
    async with _sqfstar(staged / ROOT) as writer:
        pump = _Pump(writer.sink, _on_loop(progress))
        await bootstrap(
            plan_bootstrap(recipe, overlay=overlay, status=status),
            consume=pump.run,
            on_stage=lambda stage: progress(stage, None, None),
        )
        await writer.finish()
    packages = parse_dpkg_status(status.read_text("utf-8", "replace"))
    overlay.unlink()
    status.unlink()
    return packages


@dataclass
class _Pump:
    """Moves a stream between two pipes without copying it through our memory."""

    sink: int
    report: Callable[[str, int | None, int | None], None]

    def run(self, source: int) -> int:
        """Move everything; return the number of bytes. In a thread.

        sqfstar 4.5 ends at the archive's end mark and does not read the padding behind it. So
        a reader that has gone is no failure here: its status tells, and the rest is
        read and dropped, since the writer must not meet a closed pipe.
        """
        moved, reported = 0, -REPORT_BYTES
        with contextlib.suppress(BrokenPipeError):
            while count := os.splice(source, self.sink, SPLICE_BYTES):
                moved += count
                if moved - reported >= REPORT_BYTES:
                    reported = moved
                    self.report(WRITING_ROOT, moved, None)
        while os.read(source, 65536):
            pass
        return moved


@dataclass
class _Writer:
    """A running sqfstar and the end of the pipe that feeds it."""

    argv: list[str]
    sink: int
    process: asyncio.subprocess.Process
    words: asyncio.Task[bytes]

    def close(self) -> None:
        if self.sink >= 0:
            os.close(self.sink)
            self.sink = -1

    async def finish(self) -> None:
        """End its input and wait for it.

        Raises:
            ToolFailed, NoSpace: it failed.
        """
        self.close()
        status = await self.process.wait()
        check_with_space(Finished(tuple(self.argv), status, b"", await self.words), self.argv[-1])


@contextlib.asynccontextmanager
async def _sqfstar(root: Path) -> AsyncIterator[_Writer]:
    """A sqfstar that writes `root` from a pipe; killed on leaving if it still runs."""
    argv = plan_sqfstar(root)
    source, sink = os.pipe2(os.O_CLOEXEC)
    writer: _Writer | None = None
    try:
        async with piped(argv, stdin=source, stdout=asyncio.subprocess.DEVNULL) as process:
            os.close(source)
            source = -1
            assert process.stderr
            words = asyncio.create_task(watch(process.stderr, lambda _: None))
            writer = _Writer(argv, sink, process, words)
            sink = -1
            yield writer
    finally:
        for fd in (source, sink):
            if fd >= 0:
                os.close(fd)
        if writer is not None:
            writer.close()
            # It is dead by now, so its messages are at their end.
            await asyncio.wait({writer.words})


def _on_loop(progress: Progress) -> Progress:
    """Return a function for threads that calls `progress` on this event loop."""
    loop = asyncio.get_running_loop()

    def report(stage: str, done: int | None, total: int | None) -> None:
        loop.call_soon_threadsafe(progress, stage, done, total)

    return report


def _digest(recipe: Recipe, root_sha256: str) -> str:
    facts = {"root": root_sha256, "init": recipe.init, "env": recipe.env}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _publish(layout: Layout, staged: Path, image: Image) -> Image:
    shelf = open_shelf(layout)
    if shelf.find(image.digest) is not None and not is_intact(layout, image):
        shelf.set_aside(image.digest)
    return shelf.publish(staged, image)
