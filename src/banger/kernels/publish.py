"""From staged parts to a published kernel; and the same parts with another agent.

A kernel's directory holds everything that it was made of:

    bzimage  vmlinux  config  modules/*.ko  modules.squashfs  initramfs  manifest.json

so a new agent needs no download: the other files are linked into a new directory with a
new initramfs, which is another kernel with another digest, and the name moves on
to it (docs/adr/0010-kernel-parts.md). VMs that use the old one are not disturbed.

Works below the staging directory; publishes through the store. Synchronous, for threads. No locks:
the engine has one for each name, and without it the first publisher wins.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from banger.artifacts.store import ArtifactStore, hash_file
from banger.errors import ToolMissing
from banger.host.files import space_errors
from banger.kernels.contents import CONFIG, INITRAMFS, MODULES, VMLINUX, FindObstacle, Parts
from banger.kernels.initramfs import build_initramfs
from banger.kernels.local import open_store
from banger.layout import Layout
from banger.model.artifacts import Kernel

Progress = Callable[[str, int | None, int | None], None]
"""Called with a stage, how much of it is done, and of how much; on the event loop."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What every way of getting a kernel needs to know."""

    layout: Layout
    name: str
    agent: Path
    agent_version: str
    progress: Progress
    now: float
    find_obstacle: FindObstacle
    environ: Mapping[str, str] = field(default_factory=dict)
    """The caller's, for its proxies."""

    @property
    def store(self) -> ArtifactStore[Kernel]:
        """Return where the kernel is to stand."""
        return open_store(self.layout)


FileState = tuple[int, int, int]
"""A file's inode, size and time of change: another file, or a changed one, has another state."""


@dataclass(frozen=True)
class Agent:
    """The agent that goes into an initramfs."""

    path: Path
    version: str
    state: FileState


def identify_agent(order: Order) -> Agent:
    """Return the agent that is to go in.

    Raises:
        ToolMissing: it is not there.
    """
    try:
        return Agent(order.agent, order.agent_version, _look_at(order.agent))
    except OSError as error:
        raise _unreadable(order.agent) from error


def has_agent(store: ArtifactStore[Kernel], kernel: Kernel, agent: Agent) -> bool:
    """Tell whether the kernel's initramfs is what this agent and its modules would give.

    It is built for that once, and again when a file has changed: each VM that is created asks.

    Raises:
        ToolMissing: the agent cannot be read.
    """
    directory = store.directory(kernel.digest)
    try:
        states = tuple(_look_at(directory / MODULES / name) for name in kernel.modules)
        hashed = _hash_initramfs(directory, kernel.modules, agent, states)
    except FileNotFoundError:
        return False
    return hashed == kernel.hashes[INITRAMFS]


def link_parts(store: ArtifactStore[Kernel], kernel: Kernel, staged: Path) -> Parts | None:
    """Link a kernel's files but its initramfs into `staged`; None if one is not as it was (F3)."""
    source = store.directory(kernel.digest)
    (staged / MODULES).mkdir()
    for name, digest in kernel.hashes.items():
        if name == INITRAMFS:
            continue
        if not (source / name).is_file() or hash_file(source / name) != digest:
            shutil.rmtree(staged)
            staged.mkdir(mode=0o700)
            return None
        _link(source / name, staged / name)
    return Parts(
        name=kernel.name,
        version=kernel.version,
        arch=kernel.arch,
        source=kernel.source,
        boot=kernel.bzimage,
        modules=kernel.modules,
        tree=kernel.tree,
        missed=kernel.missed,
    )


def publish_kernel(
    order: Order, staged: Path, parts: Parts, *, agent: Agent, named: bool = True
) -> Kernel:
    """Add initramfs and manifest, and publish. The digest covers the name and every file.

    The name points to the kernel from then on, unless it is not to be `named`.
    """
    store = order.store
    with space_errors(staged):
        (staged / INITRAMFS).write_bytes(_build_initramfs(staged, parts.modules, agent))
    names = {parts.boot, VMLINUX, CONFIG, INITRAMFS, *(f"{MODULES}/{m}" for m in parts.modules)}
    names |= {parts.tree} if parts.tree else set()
    hashes = {name: hash_file(staged / name) for name in sorted(names)}
    # The name counts: what is imported twice is two kernels, each with its own users.
    listing = f"{parts.name}\n" + "".join(f"{digest}  {name}\n" for name, digest in hashes.items())
    digest = hashlib.sha256(listing.encode()).hexdigest()
    kernel = Kernel(
        digest=digest,
        name=parts.name,
        version=parts.version,
        arch=parts.arch,
        created_at=order.now,
        bzimage=parts.boot,
        vmlinux=VMLINUX,
        initramfs=INITRAMFS,
        config=CONFIG,
        modules=parts.modules,
        hashes=hashes,
        agent_version=agent.version,
        source=parts.source,
        size_bytes=sum((staged / name).stat().st_size for name in names),
        tree=parts.tree,
        missed=parts.missed,
    )
    if store.find(digest) is not None and damaged_files(store, kernel):
        store.set_aside(digest)
    return store.publish(staged, kernel, named=named)


def damaged_files(store: ArtifactStore[Kernel], kernel: Kernel) -> list[str]:
    """Return the names of the kernel's files that are missing or not as its manifest says (F3)."""
    directory = store.directory(kernel.digest)
    return [
        name
        for name, digest in kernel.hashes.items()
        if not (directory / name).is_file() or hash_file(directory / name) != digest
    ]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links, or too many of them
        shutil.copyfile(source, target)


@functools.lru_cache(maxsize=8)
def _hash_initramfs(
    directory: Path, order: tuple[str, ...], agent: Agent, _: tuple[FileState, ...]
) -> str:
    return hashlib.sha256(_build_initramfs(directory, order, agent)).hexdigest()


def _build_initramfs(directory: Path, order: tuple[str, ...], agent: Agent) -> bytes:
    try:
        program = agent.path.read_bytes()
    except OSError as error:
        raise _unreadable(agent.path) from error
    modules = {name: (directory / MODULES / name).read_bytes() for name in order}
    return build_initramfs(program, modules=modules, order=order)


def _look_at(path: Path) -> FileState:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_ctime_ns


def _unreadable(agent: Path) -> ToolMissing:
    return ToolMissing(f"The agent {agent} cannot be read.", hint="pipx reinstall banger")
