"""Building an image: packages to a squashfs root through one pipe, without privilege.

    mmdebstrap --(tar)--> splice in a thread --(tar)--> sqfstar --> root.squashfs

Nothing of the tree touches a disk between the two but mmdebstrap's own work
directory. Owners, modes, devices, xattrs and capabilities go through in the tar (F2). The
rest is `publish`'s.

No locks: see there. A cancellation kills both programs and removes what was staged.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from banger.host.files import staged_dir
from banger.host.mmdebstrap import bootstrap, require_mmdebstrap
from banger.images.catalogue import find_recipe_hash
from banger.images.local import ROOT
from banger.images.plan import EPOCH, build_overlay, parse_dpkg_status, plan_bootstrap
from banger.images.publish import Progress, publish_image
from banger.images.recipe import Recipe, require_recipe
from banger.images.rootinode import RootInode
from banger.images.rootwriter import open_root_writer, require_root_writer
from banger.layout import Layout
from banger.model.artifacts import Image, ImageDraft

SPLICE_BYTES = 1024 * 1024
REPORT_BYTES = 16 * 1024 * 1024
WRITING_ROOT = "writing the root"


async def build_image(
    layout: Layout,
    recipe: Recipe,
    *,
    progress: Progress,
    now: float,
    proxies: Mapping[str, str] | None = None,
) -> Image:
    """Build a recipe, name the image after it and return it. The same packages: the same image.

    `progress` is called on the event loop with a stage, and bytes while the root is written.
    `proxies` are variables that tell apt its proxies (`render_proxies`).

    Raises:
        RecipeInvalid: a value of the recipe has the wrong shape.
        ToolMissing, HostNotReady: the host lacks something.
        ToolFailed, DeadlineExceeded: the packages could not be fetched or installed.
        NoSpace: a file system is full.
    """
    require_recipe(recipe)
    require_image_tools()
    with staged_dir(layout.staging, prefix="image") as staged:
        packages = await _build_root(recipe, staged, progress, proxies or {})
        draft = ImageDraft(
            name=recipe.name,
            created_at=now,
            init=recipe.init,
            source=f"recipe:{recipe.name}",
            env=recipe.env,
            packages=packages,
            recipe=find_recipe_hash(recipe),
        )
        return await publish_image(layout, staged, draft, RootInode(mtime=EPOCH), progress)


def require_image_tools() -> None:
    """Check at once all that `build_image` needs of the host (H8).

    Raises:
        ToolMissing, HostNotReady: something is missing.
    """
    require_root_writer()
    require_mmdebstrap()


async def _build_root(
    recipe: Recipe, staged: Path, progress: Progress, proxies: Mapping[str, str]
) -> dict[str, str]:
    """Make the root below `staged`; return the packages that are in it."""
    overlay, status = staged / "overlay.tar", staged / "dpkg-status"
    overlay.write_bytes(build_overlay(recipe))
    async with open_root_writer(staged / ROOT) as writer:
        pump = _Pump(writer.sink, _on_loop(progress))
        plan = plan_bootstrap(recipe, overlay=overlay, status=status)
        await bootstrap(
            dataclasses.replace(plan, proxies=proxies),
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


def _on_loop(progress: Progress) -> Progress:
    """Return a function for threads that calls `progress` on this event loop."""
    loop = asyncio.get_running_loop()

    def report(stage: str, done: int | None, total: int | None) -> None:
        loop.call_soon_threadsafe(progress, stage, done, total)

    return report
