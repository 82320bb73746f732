"""Create a VM: decide its spec, claim its name, create its parts, start it.

A VM that is started at once is the clone of a template if there is or can be one
(`transitions.templates`, `transitions.clone`), else it boots. The claim is the VM's row and an
open journal in one transaction.

If the process dies: before the claim nothing is there; after it, recovery undoes
the steps and removes the row; once the start has begun the VM stays, stopped (a clone
that was not ready is gone: it has nothing to boot from that was not the template's).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from banger import store
from banger.api.requests import VmCreate
from banger.api.results import VmView
from banger.engine.state.engine import Engine
from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.engine.state.pins import pinned
from banger.engine.state.tasks import finish_shielded
from banger.engine.transitions.boot import default_boot_deadline_s, start_held
from banger.engine.transitions.build import delete_anyway
from banger.engine.transitions.capacity import promised_memory
from banger.engine.transitions.clone import booted_if_failed, clone_vm, judged_template
from banger.engine.transitions.delete import delete_now
from banger.engine.transitions.evidence import replace_by_report
from banger.engine.transitions.filesync import put_files
from banger.engine.transitions.make import claim_vm, make_parts
from banger.engine.transitions.pool import claim_prepared
from banger.engine.transitions.publishing import choose_forwards
from banger.engine.transitions.setup import run_setup
from banger.engine.transitions.templates import choose_template
from banger.engine.verbs.resolve import needing_parts, require_valid, resolve_spec
from banger.engine.views.vms import view_vm
from banger.errors import BangerError, BootFailed, HostFailed
from banger.forwards import Forward
from banger.model.setup import Setup
from banger.model.vm import VmSpec, template_origin


async def create_vm(engine: Engine, op: Operation, params: VmCreate) -> VmView:
    """Create a VM and start it, unless `params.start` is false.

    A VM whose making fails or is cancelled is gone. One that was made but did not boot is kept
    for its console log, in state `error`; an ephemeral one is replaced by a report with its logs.

    Raises:
        InvalidRequest: a size, the name or a label is not possible.
        NameTaken: another VM has the name.
        PortTaken, PortNotPermitted: a port cannot be published.
        ToolMissing: the host lacks programs; they are named.
        ImageNotFound, KernelNotFound: and it cannot be made.
        NotEnoughMemory: the host's does not hold it.
        BootFailed: it is not ready. It was kept, or if ephemeral its logs were.
        SetupFailed: a setup command failed; there is no VM.
    """
    require_valid(params, engine.settings)
    if params.name is not None:
        # The claim decides; checked here as well, so that no image is built in vain.
        await engine.database.read(store.require_name_free, params.name)
    forwards = await choose_forwards(engine, params.ports)
    now = asyncio.get_running_loop().time
    async with contextlib.AsyncExitStack() as held:
        await held.enter_async_context(needing_parts(engine, op, params))
        spec = await resolve_spec(engine, op, params)
        if params.start:
            promise = promised_memory(engine, op, spec.shape.memory_mib, force=params.force)
            await held.enter_async_context(promise)
        begun = now()
        origin = await _choose_origin(engine, op, params, spec)
        held.enter_context(pinned(engine, op, origin))
        machine = await _claim_prepared(engine, op, spec, origin, forwards)
        if machine is None:
            left_s = params.deadline_s
            if left_s is not None and params.template:
                left_s = max(left_s - (now() - begun), 0.01)
            machine = await claim_vm(engine, op, spec, origin=origin, forwards=forwards)
            await _make(machine, op, start=params.start, deadline_s=left_s)
            setup = params.setup
            if setup is not None and not setup.optional and machine.record.origin is None:
                await _set_up(machine, op, setup)
        if params.start:
            # Completed even if the client leaves: the VM has its name, and failures are notices.
            await finish_shielded(put_files(machine, op))
        if origin is not None and machine.record.origin == origin:
            engine.demand.note(origin, spec, at=now())
    # Completed even if the client leaves: nobody would know of the VM (C5).
    return await finish_shielded(view_vm(engine, machine.record))


async def _choose_origin(
    engine: Engine, op: Operation, params: VmCreate, spec: VmSpec
) -> str | None:
    """Return the template to start from; the request's deadline includes its build."""
    if not (params.template and params.start):
        return None
    try:
        async with asyncio.timeout(params.deadline_s):
            key = await choose_template(engine, op, spec, params.setup)
    except TimeoutError:
        return None  # the boot then fails by the deadline, and keeps the VM with its logs
    return None if key is None else template_origin(key)


async def _claim_prepared(
    engine: Engine,
    op: Operation,
    spec: VmSpec,
    origin: str | None,
    forwards: Sequence[Forward],
) -> Machine | None:
    """Claim a pooled clone; a claim does not start entry points or set up secrets."""
    if origin is None or spec.program.entrypoint or spec.secrets.placeholders:
        return None
    return await claim_prepared(engine, op, spec, origin, forwards=forwards)


async def _make(machine: Machine, op: Operation, *, start: bool, deadline_s: float | None) -> None:
    """Make a claimed VM as a clone of its origin, or by a boot if that fails."""
    engine, origin = machine.engine, machine.record.origin
    async with machine.runtime.lifecycle.hold(op):
        if origin is not None:
            async with booted_if_failed(machine, op):
                await clone_vm(machine, op)
                return
        async with judged_template(engine, origin):
            await make_parts(machine, op)
            if start:
                limit = deadline_s
                if limit is None:
                    limit = default_boot_deadline_s(machine.record)
                async with _deleted_or_kept(machine, op):
                    await start_held(machine, op, deadline_s=limit)


async def _set_up(machine: Machine, op: Operation, setup: Setup) -> None:
    """Run setup commands in a VM that booted, because there is no template with their result.

    Without the lifecycle lock, since they may take long (C1). If the setup fails or the client
    leaves, the VM is deleted.
    """
    try:
        await run_setup(machine, op, setup)
    except BaseException:
        await finish_shielded(delete_anyway(machine.engine, machine.id))
        raise


@contextlib.asynccontextmanager
async def _deleted_or_kept(machine: Machine, op: Operation) -> AsyncIterator[None]:
    """Delete a new VM if its client leaves while a block starts it; keep it if the start fails.

    Of an ephemeral VM that failed, the logs are kept.
    """
    try:
        yield
    except BangerError as error:
        told = await finish_shielded(_settle_failure(machine, op, error))
        if told is error:
            raise
        raise told from None
    except BaseException:
        await finish_shielded(delete_now(machine.engine, op, machine.id))
        raise


async def _settle_failure(machine: Machine, op: Operation, error: BangerError) -> BangerError:
    """Keep a VM whose start has failed, or its logs; return the error to raise."""
    cause = error.__cause__
    if isinstance(error, BootFailed) and not isinstance(cause, HostFailed):
        if machine.record.spec.ending.ephemeral:
            return await replace_by_report(machine, op, error)
        return error
    # No guest has started, so there are no logs.
    await delete_now(machine.engine, op, machine.id)
    return cause if isinstance(cause, HostFailed) else error
