"""Getting a kernel: what is here, with our agent, or else the distribution's signed package.

Stages below the staging directory; publishes through the shelf (`publish`). No locks: the engine
has one for each name, and without it the first publisher wins.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable
from pathlib import Path

from banger.errors import InvalidRequest, KernelNotFound, KernelUnfit
from banger.host.files import staged_dir
from banger.host.mmdebstrap import Bootstrap, bootstrap
from banger.kernels.catalogue import KERNELS, PackagedKernel
from banger.kernels.package import take_package
from banger.kernels.parts import Parts, pack_tree, require_packer, save_parts
from banger.kernels.publish import has_agent, link_parts, load_agent, publish_kernel
from banger.kernels.shelf import open_shelf
from banger.layout import Layout
from banger.model.artifacts import Kernel

Progress = Callable[[str, int | None, int | None], None]


async def pull_kernel(
    layout: Layout,
    reference: str,
    *,
    agent: Path,
    agent_version: str,
    force: bool = False,
    progress: Progress,
    now: float,
) -> Kernel:
    """Return the kernel of this name with this agent, downloading it only if it must be.

    Idempotent. `force` downloads in any case; the same package then gives the same kernel.
    A digest, or the beginning of one, means that very kernel, whatever agent it carries.
    `progress` is called with a stage and no counts, on the event loop.

    Raises:
        KernelNotFound: no kernel of this name is here or can be pulled.
        ToolMissing, HostNotReady: the host lacks something; the agent counts as well.
        ToolFailed, DeadlineExceeded: the package could not be fetched.
        KernelUnfit: it is not what a guest needs.
        NoSpace: the file system is full.
    """
    shelf = open_shelf(layout)
    packaged = require_pullable(reference) if force else KERNELS.get(reference)
    ours = await asyncio.to_thread(load_agent, agent, agent_version)
    known = None if force else shelf.find(reference)
    if known is not None and known.name != reference:
        return known
    reusable = known is not None and (known.tree is not None or packaged is None)
    if known is not None and reusable and await asyncio.to_thread(has_agent, shelf, known, ours):
        return known
    with staged_dir(layout.staging, prefix="kernel") as staged:
        parts = None
        if known is not None and reusable:
            progress("reusing the kernel", None, None)
            parts = await asyncio.to_thread(link_parts, shelf, known, staged)
        if parts is None:
            parts = await _download_parts(_require_source(reference, known), staged, progress)
        progress("building the initramfs", None, None)
        return await asyncio.to_thread(publish_kernel, shelf, staged, parts, agent=ours, now=now)


def require_pullable(name: str) -> PackagedKernel:
    """Return the kernel of the catalogue for a name.

    Raises:
        KernelNotFound: there is none.
    """
    if name in KERNELS:
        return KERNELS[name]
    raise KernelNotFound(
        f"No kernel is called {name!r}; {', '.join(sorted(KERNELS))} can be pulled.",
        hint="banger kernel list --available",
    )


def _require_source(name: str, known: Kernel | None) -> PackagedKernel:
    """Return where a kernel can be downloaded from; one that was imported cannot."""
    if known is not None and name not in KERNELS:
        raise KernelUnfit(
            f"The kernel {name} is damaged; it was imported from {known.source}.",
            hint=f"banger kernel import {name} --kernel FILE",
        )
    return require_pullable(name)


async def _download_parts(packaged: PackagedKernel, staged: Path, progress: Progress) -> Parts:
    arch = platform.machine()
    if arch not in packaged.packages:
        raise InvalidRequest(f"The kernel {packaged.name} does not exist for {arch}.")
    require_packer()
    name = packaged.packages[arch]
    request = Bootstrap(suite=packaged.suite, variant="extract", packages=(name,))
    unpacked = staged / "unpacked"
    unpacked.mkdir()
    progress("fetching the kernel package", None, None)
    package = await bootstrap(
        request,
        consume=lambda descriptor: take_package(descriptor, unpacked),
        on_stage=lambda stage: progress(stage, None, None),
    )
    progress("unpacking the kernel", None, None)
    parts = await asyncio.to_thread(
        save_parts,
        package,
        staged,
        name=packaged.name,
        arch=arch,
        source=f"package:{name} of {packaged.suite}",
    )
    progress("packing the modules", None, None)
    await pack_tree(package, staged)
    return parts
