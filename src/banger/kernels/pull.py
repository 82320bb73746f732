"""Pulling a kernel: from the distribution's signed package to a published directory.

A kernel's directory holds everything that it was made of:

    bzimage  vmlinux  config  modules/*.ko  initramfs  manifest.json

so a new agent needs no download: the other files are linked into a new directory with a
new initramfs, which is another kernel with another digest, and the name moves on
to it (docs/adr/0010-kernel-parts.md). VMs that use the old one are not disturbed.

Stages below the staging directory; publishes through the shelf. No locks: the engine
has one per name, and without it the first publisher wins.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from banger.errors import InvalidRequest, KernelNotFound, ToolMissing
from banger.host.files import space_errors, staged_dir
from banger.host.mmdebstrap import Bootstrap, bootstrap
from banger.host.shelf import Shelf, hash_file
from banger.kernels.catalogue import KERNELS, PackagedKernel
from banger.kernels.initramfs import build_initramfs
from banger.kernels.package import take_package
from banger.kernels.parts import BZIMAGE, CONFIG, INITRAMFS, MODULES, VMLINUX, Parts, save_parts
from banger.kernels.shelf import open_shelf
from banger.layout import Layout
from banger.model.artifacts import Kernel

Progress = Callable[[str, int | None, int | None], None]


async def pull_kernel(
    layout: Layout,
    name: str,
    *,
    agent: Path,
    agent_version: str,
    force: bool = False,
    progress: Progress,
    now: float,
) -> Kernel:
    """Return the kernel of this name with this agent, downloading it only if it must be.

    Idempotent. `force` downloads in any case; the same package then gives the same kernel.
    `progress` is called with a stage and no counts, on the event loop.

    Raises:
        KernelNotFound: no kernel of this name can be pulled.
        ToolMissing, HostNotReady: the host lacks something; the agent counts as well.
        ToolFailed, DeadlineExceeded: the package could not be fetched.
        KernelUnfit: it is not what a guest needs.
        NoSpace: the file system is full.
    """
    shelf = open_shelf(layout)
    packaged = require_pullable(name)
    agent_bytes = await asyncio.to_thread(_read_agent, agent)
    known = None if force else shelf.find(name)
    if known is not None and await asyncio.to_thread(_is_current, shelf, known, agent_bytes):
        return known
    with staged_dir(layout.staging, prefix="kernel") as staged:
        parts = None
        if known is not None:
            progress("reusing the kernel", None, None)
            parts = await asyncio.to_thread(_link_parts, shelf, known, staged)
        if parts is None:
            parts = await _download_parts(packaged, staged, progress)
        progress("building the initramfs", None, None)
        return await asyncio.to_thread(
            _publish, shelf, staged, parts, agent=agent_bytes, agent_version=agent_version, now=now
        )


def require_pullable(name: str) -> PackagedKernel:
    """Return the kernel of the catalogue for a name.

    Raises:
        KernelNotFound: there is none.
    """
    if name in KERNELS:
        return KERNELS[name]
    raise KernelNotFound(
        f"No kernel is called {name!r}; there is {', '.join(sorted(KERNELS))}.",
        hint="banger kernel list --available",
    )


async def _download_parts(packaged: PackagedKernel, staged: Path, progress: Progress) -> Parts:
    arch = os.uname().machine
    if arch not in packaged.packages:
        raise InvalidRequest(f"The kernel {packaged.name} does not exist for {arch}.")
    request = Bootstrap(
        suite=packaged.suite, variant="extract", packages=(packaged.packages[arch],)
    )
    unpacked = staged / "unpacked"
    unpacked.mkdir()
    progress("fetching the kernel package", None, None)
    package = await bootstrap(
        request,
        consume=lambda descriptor: take_package(descriptor, unpacked),
        on_stage=lambda stage: progress(stage, None, None),
    )
    progress("unpacking the kernel", None, None)
    parts = await asyncio.to_thread(save_parts, package, staged, name=packaged.name, arch=arch)
    await asyncio.to_thread(shutil.rmtree, unpacked)
    return parts


def _is_current(shelf: Shelf[Kernel], kernel: Kernel, agent: bytes) -> bool:
    """Tell whether the kernel's initramfs is what this agent and its modules would give."""
    directory = shelf.directory(kernel.digest)
    try:
        initramfs = _build_initramfs(directory, kernel.modules, agent)
    except FileNotFoundError:
        return False
    return hashlib.sha256(initramfs).hexdigest() == kernel.hashes[INITRAMFS]


def _link_parts(shelf: Shelf[Kernel], kernel: Kernel, staged: Path) -> Parts | None:
    """Link a kernel's files but its initramfs into `staged`; None if one is not as it was (F3)."""
    source = shelf.directory(kernel.digest)
    (staged / MODULES).mkdir()
    for name, digest in kernel.hashes.items():
        if name == INITRAMFS:
            continue
        if not (source / name).is_file() or hash_file(source / name) != digest:
            shutil.rmtree(staged)
            staged.mkdir(mode=0o700)
            return None
        _link(source / name, staged / name)
    return Parts(name=kernel.name, version=kernel.version, arch=kernel.arch, modules=kernel.modules)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links, or too many of them
        shutil.copyfile(source, target)


def _publish(
    shelf: Shelf[Kernel],
    staged: Path,
    parts: Parts,
    *,
    agent: bytes,
    agent_version: str,
    now: float,
) -> Kernel:
    """Add initramfs and manifest, and publish. The digest covers every file."""
    with space_errors(staged):
        (staged / INITRAMFS).write_bytes(_build_initramfs(staged, parts.modules, agent))
    names = [BZIMAGE, VMLINUX, CONFIG, INITRAMFS, *(f"{MODULES}/{m}" for m in parts.modules)]
    hashes = {name: hash_file(staged / name) for name in names}
    listing = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
    digest = hashlib.sha256(listing.encode()).hexdigest()
    kernel = Kernel(
        digest=digest,
        name=parts.name,
        version=parts.version,
        arch=parts.arch,
        created_at=now,
        bzimage=BZIMAGE,
        vmlinux=VMLINUX,
        initramfs=INITRAMFS,
        config=CONFIG,
        modules=parts.modules,
        hashes=hashes,
        agent_version=agent_version,
    )
    if shelf.find(digest) is not None and damaged_files(shelf, kernel):
        shelf.set_aside(digest)
    return shelf.publish(staged, kernel)


def damaged_files(shelf: Shelf[Kernel], kernel: Kernel) -> list[str]:
    """Return the names of the kernel's files that are missing or not as its manifest says (F3)."""
    directory = shelf.directory(kernel.digest)
    return [
        name
        for name, digest in kernel.hashes.items()
        if not (directory / name).is_file() or hash_file(directory / name) != digest
    ]


def _build_initramfs(directory: Path, order: tuple[str, ...], agent: bytes) -> bytes:
    modules = {name: (directory / MODULES / name).read_bytes() for name in order}
    return build_initramfs(agent, modules=modules, order=order)


def _read_agent(agent: Path) -> bytes:
    try:
        return agent.read_bytes()
    except OSError as error:
        raise ToolMissing(f"The agent {agent} cannot be read.", hint="make demo") from error
