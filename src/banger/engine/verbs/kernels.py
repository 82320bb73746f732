"""Kernels: made on first use, once for all requests (L4); removed when unused.

Who needs one: VMs, by the digest in their records; templates, by that in their manifests; and
operations that make one of these, which say so with `needing_kernel` from before they look for
the kernel until its digest is in a record (hazard C4; `pins`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import platform
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from banger import guest, kernels, store, templates
from banger.api.method import serves
from banger.api.requests import KernelBuild, KernelFetch, KernelImport, KernelPull, KernelRef
from banger.api.results import AvailableKernel, Deleted, KernelView
from banger.engine.state.engine import Engine
from banger.engine.state.operations import Operation
from banger.engine.state.pins import needing
from banger.engine.state.shared import Progress
from banger.errors import BangerError, Cancelled, KernelInUse, KernelUnfit
from banger.host import programs
from banger.model.artifacts import Kernel
from banger.model.vm import VmRecord
from banger.vmm.table import find_driver_kind, find_kernel_obstacle

AGENT_FOLDER = Path(guest.__file__).with_name("agent")
"""Where the package's build puts the agent, by architecture."""
KEEPS_AGENT = "The VM keeps the agent of an older banger"


@serves("kernel.list")
async def list_kernels(engine: Engine) -> list[KernelView]:
    """Return every kernel, by name. Changes nothing (B8)."""
    users = await _users(engine)
    found = await asyncio.to_thread(kernels.list_kernels, engine.layout)
    return [await _view(engine, kernel, users) for kernel in found]


@serves("kernel.available")
async def list_available_kernels(engine: Engine) -> list[AvailableKernel]:
    """Return what `pull_kernel` knows for this architecture."""
    arch = platform.machine()
    layout = engine.layout
    here = {
        name: await asyncio.to_thread(kernels.find_kernel, layout, name) for name in kernels.KERNELS
    }
    return [
        AvailableKernel(
            name=packaged.name,
            suite=packaged.suite,
            package=packaged.packages[arch],
            digest=kernel.digest if (kernel := here[packaged.name]) else None,
        )
        for packaged in kernels.KERNELS.values()
        if arch in packaged.packages
    ]


@serves("kernel.show")
async def show_kernel(engine: Engine, params: KernelRef) -> KernelView:
    """Return one kernel."""
    kernel = await asyncio.to_thread(kernels.get_kernel, engine.layout, params.ref)
    return await _view(engine, kernel, await _users(engine))


@serves("kernel.pull")
async def pull_kernel(engine: Engine, op: Operation, params: KernelPull) -> Kernel:
    """Fetch a kernel of the catalogue and build its initramfs."""
    kernels.require_pullable(params.name)
    async with needing_kernel(engine, op, params.name):
        return await _pull(engine, params.name, op.progress, force=params.force)


@serves("kernel.fetch")
async def fetch_kernel(engine: Engine, op: Operation, params: KernelFetch) -> Kernel:
    """Make a kernel of a file at a URL, once for all who ask for the same (C3)."""
    remote = kernels.parse_remote(params.url, params.sha256, insecure=params.insecure)
    name = params.name or kernels.propose_name(remote.url)
    config = None if params.config is None else Path(params.config)

    async def make(tell: Progress) -> Kernel:
        order = await _order(engine, name, tell)
        return await kernels.fetch_kernel(order, remote, config=config, force=params.force)

    async with needing_kernel(engine, op, name):
        work = f"kernel:{name}:{remote.source}:{params.config}"
        return _tell_missed(op, await engine.shared.run(work, make, op.progress))


@serves("kernel.import")
async def import_kernel(engine: Engine, op: Operation, params: KernelImport) -> Kernel:
    """Make a kernel of files of the user's."""
    files = kernels.KernelFiles(
        kernel=Path(params.kernel),
        modules=None if params.modules is None else Path(params.modules),
        config=None if params.config is None else Path(params.config),
    )
    async with needing_kernel(engine, op, params.name):
        order = await _order(engine, params.name, op.progress)
        return _tell_missed(op, await kernels.import_kernel(order, files))


@serves("kernel.build")
async def build_kernel(engine: Engine, op: Operation, params: KernelBuild) -> Kernel:
    """Build a kernel of a source, once for all who ask for the same (C3)."""
    source = kernels.KernelSource(
        path=None if params.source is None else Path(params.source),
        options=None if params.options is None else Path(params.options),
    )

    async def make(tell: Progress) -> Kernel:
        return await kernels.build_kernel(await _order(engine, params.name, tell), source)

    async with needing_kernel(engine, op, params.name):
        work = f"kernel:{params.name}:build:{source}"
        return await engine.shared.run(work, make, op.progress)


@serves("kernel.delete")
async def delete_kernel(engine: Engine, params: KernelRef) -> Deleted:
    """Delete a kernel that no VM, template or operation uses.

    Raises:
        KernelNotFound: there is none of this name or digest.
        KernelInUse: it is used; the users are named.
    """
    async with engine.removals:
        kernel = await asyncio.to_thread(kernels.get_kernel, engine.layout, params.ref)
        # First the operations: what one of them has recorded meanwhile is seen in the records.
        busy = _operations(engine, kernel)
        users = (await _users(engine)).get(kernel.digest, _Users())
        if named := [*users.names, *busy]:
            raise KernelInUse(
                f"The kernel {kernel.name} is used by: {', '.join(named)}.", hint=users.hint
            )
        await asyncio.to_thread(kernels.remove_kernel, engine.layout, kernel)
    return Deleted(ids=[kernel.digest])


@serves("kernel.prune")
async def prune_kernels(engine: Engine) -> Deleted:
    """Delete kernels that another one has replaced, and their templates, unless a VM uses them."""
    removed = []
    async with engine.removals:
        for kernel in await asyncio.to_thread(kernels.list_kernels, engine.layout):
            if await asyncio.to_thread(kernels.is_current, engine.layout, kernel):
                continue
            busy = _operations(engine, kernel)
            users = (await _users(engine)).get(kernel.digest, _Users())
            if busy or users.vms:
                continue
            for key in users.templates:
                await asyncio.to_thread(templates.remove_template, engine.layout, key)
            await asyncio.to_thread(kernels.remove_kernel, engine.layout, kernel)
            removed.append(kernel.digest)
    return Deleted(ids=removed)


async def require_kernel_possible(engine: Engine, name: str, *, driver: str) -> None:
    """Check that a kernel of this name is here or can be pulled. Makes nothing.

    Raises:
        KernelNotFound: neither.
        KernelUnfit: it is here, and the driver does not boot it.
    """
    found = await asyncio.to_thread(kernels.find_kernel, engine.layout, name)
    if found is None:
        kernels.require_pullable(name)
    else:
        await asyncio.to_thread(require_boots, engine, found, driver)


async def ensure_kernel(engine: Engine, name: str, progress: Progress) -> Kernel:
    """Return the kernel of this name with an initramfs that carries our agent."""
    return await _pull(engine, name, progress, force=False)


def require_boots(engine: Engine, kernel: Kernel, driver: str) -> None:
    """Check that a VM's driver boots its kernel; another driver may have been why it was kept.

    Raises:
        KernelUnfit: it does not.
    """
    obstacle = find_driver_kind(driver).find_kernel_obstacle(
        kernels.load_form(engine.layout, kernel)
    )
    if obstacle is not None:
        raise KernelUnfit(obstacle, hint="banger kernel list")


@contextlib.asynccontextmanager
async def renewing_kernel(engine: Engine, op: Operation, record: VmRecord) -> AsyncIterator[str]:
    """Yield the digest of the kernel that a VM boots next: its own, with this banger's agent.

    A VM that an older banger created gets the present agent so. It keeps its older one if it has
    snapshots, which fit no other kernel, and if the renewal fails; a notice says so. The kernel is
    not removed during the block, which saves it in the VM's record.

    Raises:
        KernelNotFound: the VM's kernel is gone.
    """
    known = await asyncio.to_thread(kernels.get_kernel, engine.layout, record.spec.kernel)
    async with needing_kernel(engine, op, known.name):
        yield await _renew(engine, op, record, known.name)


async def _renew(engine: Engine, op: Operation, record: VmRecord, name: str) -> str:
    """Return the digest of the VM's kernel with this agent, or of the one that it keeps."""
    digest = record.spec.kernel
    if await kernels.carries_agent(await _order(engine, name, op.progress), digest):
        return digest
    saved = await asyncio.to_thread(templates.list_snapshots, engine.layout)
    if any(snapshot.vm_id == record.id and snapshot.name for snapshot in saved):
        hint = f"banger vm snapshot list {record.spec.name}"
        op.note("notice", f"{KEEPS_AGENT} because its snapshots depend on that agent ({hint}).")
        return digest

    async def make(tell: Progress) -> Kernel:
        return await kernels.renew_kernel(await _order(engine, name, tell), digest)

    try:
        return (await engine.shared.run(f"kernel:{digest}:agent", make, op.progress)).digest
    except Cancelled:
        raise
    except BangerError as error:
        op.note("notice", f"{KEEPS_AGENT}: {error.message}")
        return digest


@contextlib.asynccontextmanager
async def needing_kernel(engine: Engine, op: Operation, ref: str) -> AsyncIterator[None]:
    """Keep whatever kernel a name or digest means from being removed for a block."""
    async with needing(engine, op, engine.kernel_needs, ref):
        yield


@functools.cache
def find_agent() -> tuple[Path, str]:
    """Return the agent for this machine's architecture, and its version.

    Raises:
        HostNotReady: the package was built without it.
    """
    path = programs.find_packaged(
        AGENT_FOLDER,
        "banger-agent",
        what="guest agent",
        hint="pipx reinstall banger (in a checkout: scripts/venv)",
    )
    return path, programs.run_sync([str(path), "--version"], deadline_s=10).text.strip()


async def _pull(engine: Engine, name: str, progress: Progress, *, force: bool) -> Kernel:
    async def make(tell: Progress) -> Kernel:
        return await kernels.pull_kernel(await _order(engine, name, tell), force=force)

    return await engine.shared.run(f"kernel:{name}", make, progress)


def _tell_missed(op: Operation, kernel: Kernel) -> Kernel:
    for line in kernel.missed:
        op.note("notice", f"Guests run, but {line}.")
    return kernel


async def _order(engine: Engine, name: str, progress: Progress) -> kernels.Order:
    agent, version = await asyncio.to_thread(find_agent)
    return kernels.Order(
        layout=engine.layout,
        name=name,
        agent=agent,
        agent_version=version,
        progress=progress,
        now=engine.now(),
        find_obstacle=find_kernel_obstacle,
        environ=engine.caller_environ(),
    )


# --- who uses what -------------------------------------------------------------------


class _Users(msgspec.Struct):
    """Names of VMs and keys of templates that use one kernel."""

    vms: list[str] = msgspec.field(default_factory=list)
    templates: list[str] = msgspec.field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [*self.vms, *(f"template {key[:12]}" for key in self.templates)]

    @property
    def hint(self) -> str | None:
        """What shows the users; VMs first, since they may run on the templates."""
        if self.vms:
            return "banger vm list"
        return "banger template list" if self.templates else None


async def _users(engine: Engine) -> dict[str, _Users]:
    """Return the users that are recorded, by the kernel's digest."""
    found: dict[str, _Users] = {}
    for record in await engine.database.read(store.load_vms):
        found.setdefault(record.spec.kernel, _Users()).vms.append(record.spec.name)
    for template, key, _ in await asyncio.to_thread(templates.list_templates, engine.layout):
        if template is not None:
            found.setdefault(template.kernel, _Users()).templates.append(key)
    return found


def _operations(engine: Engine, kernel: Kernel) -> list[str]:
    """Return the operations that need whatever their reference means, if that may be this one."""
    return [
        user
        for user, ref in engine.kernel_needs.items()
        if ref == kernel.name or kernel.digest.startswith(ref)
    ]


async def _view(engine: Engine, kernel: Kernel, users: dict[str, _Users]) -> KernelView:
    current = await asyncio.to_thread(kernels.is_current, engine.layout, kernel)
    names = users.get(kernel.digest, _Users()).names
    fields = {name: getattr(kernel, name) for name in kernel.__struct_fields__}
    return KernelView(**fields, current=current, users=[*names, *_operations(engine, kernel)])
