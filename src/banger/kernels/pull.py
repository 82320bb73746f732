"""Get a kernel: use the local one with our agent, or the distribution's signed package.

Stages below the staging directory; publishes through the store (`publish`). No locks: the engine
has one for each name, and without it the first publisher wins.
"""

from __future__ import annotations

import asyncio

from banger.errors import KernelNotFound, KernelUnfit
from banger.host.files import staged_dir
from banger.kernels.catalogue import KERNELS, PackagedKernel
from banger.kernels.local import get_kernel, is_current
from banger.kernels.publish import (
    Agent,
    Order,
    has_agent,
    identify_agent,
    link_parts,
    publish_kernel,
)
from banger.model.artifacts import Kernel
from banger.nearnames import format_near_hint


async def pull_kernel(order: Order, *, force: bool = False) -> Kernel:
    """Return the kernel of this name with this agent, downloading it only if it must be.

    Idempotent. `force` downloads in any case; the same package then gives the same kernel.
    A digest, or the beginning of one, means that very kernel, whatever agent it carries.

    Raises:
        KernelNotFound: no kernel of this name is here or can be pulled.
        ToolMissing, HostNotReady: the host lacks something; the agent counts as well.
        ToolFailed, DeadlineExceeded: the package could not be fetched.
        KernelUnfit: it is not what a guest needs.
        NoSpace: the file system is full.
    """
    packaged = require_pullable(order.name) if force else KERNELS.get(order.name)
    agent = await asyncio.to_thread(identify_agent, order)
    known = None if force else order.store.find(order.name)
    if known is not None and known.name != order.name:
        return known
    is_reusable = known is not None and (known.tree is not None or packaged is None)
    if known is not None and is_reusable:
        if await asyncio.to_thread(has_agent, order.store, known, agent):
            return known
        if renewed := await _replace_agent(order, known, agent):
            return renewed
    source = _require_source(order.name, known)
    # Most kernels are here, and what unpacks a package takes a MiB.
    from banger.kernels.downloading import download_parts

    with staged_dir(order.layout.staging, prefix="kernel") as staged:
        parts = await download_parts(source, staged, order)
        order.progress("building the initramfs", None, None)
        return await asyncio.to_thread(publish_kernel, order, staged, parts, agent=agent)


async def carries_agent(order: Order, digest: str) -> bool:
    """Tell whether the kernel of this digest is here with this agent."""
    known = await asyncio.to_thread(get_kernel, order.layout, digest)
    agent = await asyncio.to_thread(identify_agent, order)
    return await asyncio.to_thread(has_agent, order.store, known, agent)


async def renew_kernel(order: Order, digest: str) -> Kernel:
    """Return the kernel of this digest with this agent, as another kernel if it has another one.

    Idempotent. The name moves on with it, unless it means another kernel by now.

    Raises:
        KernelNotFound: it is not here.
        KernelUnfit: it is damaged.
        ToolMissing: the agent cannot be read.
        NoSpace: the file system is full.
    """
    known = await asyncio.to_thread(get_kernel, order.layout, digest)
    agent = await asyncio.to_thread(identify_agent, order)
    named = await asyncio.to_thread(is_current, order.layout, known)
    renewed = await _replace_agent(order, known, agent, named=named)
    if renewed is None:
        raise KernelUnfit(f"The kernel {known.name} is damaged.", hint=_plan_remake(known))
    return renewed


async def _replace_agent(
    order: Order, known: Kernel, agent: Agent, *, named: bool = True
) -> Kernel | None:
    """Return the same kernel with another agent; None: it is damaged."""
    order.progress("reusing the kernel", None, None)
    with staged_dir(order.layout.staging, prefix="kernel") as staged:
        parts = await asyncio.to_thread(link_parts, order.store, known, staged)
        if parts is None:
            return None
        order.progress("building the initramfs", None, None)
        return await asyncio.to_thread(
            publish_kernel, order, staged, parts, agent=agent, named=named
        )


def require_pullable(name: str) -> PackagedKernel:
    """Return the kernel of the catalogue for a name.

    Raises:
        KernelNotFound: there is none.
    """
    if name in KERNELS:
        return KERNELS[name]
    raise KernelNotFound(
        f"There is no kernel {name!r}; {', '.join(sorted(KERNELS))} can be pulled.",
        hint=format_near_hint(name, KERNELS, see="banger kernel list --available"),
    )


def _require_source(name: str, known: Kernel | None) -> PackagedKernel:
    """Return where a kernel can be downloaded from; one that was imported cannot."""
    if known is not None and name not in KERNELS:
        raise KernelUnfit(
            f"The kernel {name} is damaged; it was made from {known.source}.",
            hint=_plan_remake(known),
        )
    return require_pullable(name)


def _plan_remake(known: Kernel) -> str:
    """Return the command that makes a kernel again that is not in the catalogue."""
    kind, _, rest = known.source.partition(":")
    if kind == "url":
        url, _, digest = rest.partition(" sha256:")
        return f"banger kernel pull {url} --sha256 {digest} --name {known.name} --force"
    if kind == "build":
        return f"banger kernel build --name {known.name}"
    return f"banger kernel import {known.name} --kernel FILE"
