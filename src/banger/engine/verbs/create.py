"""Create a VM: decide its spec, claim its name, make what it is made of, start it.

A VM that is started at once is the clone of a template if there is or can be one
(`transitions.templates`, `transitions.clone`), else it boots. The claim is the VM's row and an
open journal in one transaction.

If the process dies: before the claim nothing is there; after it, recovery undoes
the steps and removes the row; once the start has begun the VM stays, stopped (a clone
that was not ready is gone: it has nothing to boot from that was not the template's).
"""

from __future__ import annotations

import asyncio

from banger import store
from banger.api.requests import VmCreate
from banger.api.results import VmView
from banger.engine.state.engine import Engine
from banger.engine.state.operations import Operation
from banger.engine.state.pins import pinned
from banger.engine.state.tasks import finish_shielded
from banger.engine.transitions.boot import default_boot_deadline_s, start_held
from banger.engine.transitions.capacity import promised_memory
from banger.engine.transitions.clone import clone_held, judge_template
from banger.engine.transitions.delete import delete_now
from banger.engine.transitions.evidence import replace_by_report
from banger.engine.transitions.make import claim_vm, make_parts
from banger.engine.transitions.pool import claim_prepared
from banger.engine.transitions.templates import choose_template
from banger.engine.verbs.resolve import needing_parts, require_valid, resolve_spec
from banger.engine.views.vms import view_vm
from banger.errors import BangerError, BootFailed, HostFailed
from banger.model.vm import VmRecord, VmSpec, VmState, template_origin


async def create_vm(engine: Engine, op: Operation, params: VmCreate) -> VmView:
    """Make a VM and, unless told otherwise, start it.

    A VM whose making fails or is cancelled is gone. One that was made but did not boot is kept
    for its console log, in state `error`; an ephemeral one is replaced by a report with its logs.

    Raises:
        InvalidRequest: a size, the name or a label is not possible.
        NameTaken: another VM has the name.
        ToolMissing: the host lacks programs; they are named.
        ImageNotFound, KernelNotFound: and it cannot be made.
        NotEnoughMemory: the host's does not hold it.
        BootFailed: it is not ready. It was kept, or if ephemeral its logs were.
    """
    require_valid(params, engine.settings)
    if params.name is not None:
        # The claim decides; asked here too, so that no image is built for nothing.
        await engine.database.read(store.require_name_free, params.name)
    async with needing_parts(engine, op, params):
        spec = await resolve_spec(engine, op, params)
        record = await _create(engine, op, params, spec)
    # To the end: a VM that nobody was told of would be nobody's (C5).
    return await finish_shielded(view_vm(engine, record))


async def _create(engine: Engine, op: Operation, params: VmCreate, spec: VmSpec) -> VmRecord:
    if not params.start:
        return await _claim_and_make(engine, op, params, spec)
    async with promised_memory(engine, op, spec.shape.memory_mib, force=params.force):
        return await _claim_and_make(engine, op, params, spec)


async def _claim_and_make(
    engine: Engine, op: Operation, params: VmCreate, spec: VmSpec
) -> VmRecord:
    begun = asyncio.get_running_loop().time()
    key = await _choose_template(engine, op, params, spec)
    left = params.deadline_s
    if left is not None and params.template:
        left = max(left - (asyncio.get_running_loop().time() - begun), 0.01)
    if key is None:
        return await _make(engine, op, spec, start=params.start, deadline_s=left)
    return await _make_from_template(engine, op, spec, key=key, deadline_s=left)


async def _choose_template(
    engine: Engine, op: Operation, params: VmCreate, spec: VmSpec
) -> str | None:
    """Return the template to start from; the request's deadline holds for making one, too."""
    if not (params.template and params.start):
        return None
    try:
        async with asyncio.timeout(params.deadline_s):
            return await choose_template(engine, op, spec)
    except TimeoutError:
        return None  # what follows fails by the deadline, and keeps a VM to look at


async def _make_from_template(
    engine: Engine, op: Operation, spec: VmSpec, *, key: str, deadline_s: float | None
) -> VmRecord:
    """Claim a clone that waits, or else make one; boot if neither can be done."""
    origin = template_origin(key)
    with pinned(engine, op, origin):
        # A claim starts no entry point: it is too short for that.
        record = None if spec.program.entrypoint else await claim_prepared(engine, op, spec, origin)
        if record is None:
            record = await _make(engine, op, spec, origin=origin, start=True, deadline_s=deadline_s)
    if record.origin == origin:
        engine.demand.note(origin, spec, at=asyncio.get_running_loop().time())
    return record


async def _make(
    engine: Engine,
    op: Operation,
    spec: VmSpec,
    *,
    origin: str | None = None,
    start: bool,
    deadline_s: float | None,
) -> VmRecord:
    record = await claim_vm(engine, op, spec, origin=origin)
    async with engine.runtime(record.id).lifecycle.hold(op):
        if record.origin is not None:
            record = await clone_held(engine, op, record)
            if record.state is VmState.RUNNING:
                return record
        booted = False
        try:
            await make_parts(engine, op, record)
            if start:
                record = await _start_or_delete(engine, op, record, deadline_s)
                booted = True
        finally:
            await judge_template(engine, origin, booted=booted)
        return record


async def _start_or_delete(
    engine: Engine, op: Operation, record: VmRecord, deadline_s: float | None
) -> VmRecord:
    """Start a new VM; one whose client went away meanwhile is deleted, one that failed is kept.

    Of an ephemeral one that failed the logs are kept.
    """
    limit = default_boot_deadline_s(record) if deadline_s is None else deadline_s
    try:
        return await start_held(engine, op, record, deadline_s=limit)
    except BangerError as error:
        told = await finish_shielded(_settle_failure(engine, op, record, error))
        if told is error:
            raise
        raise told from None
    except BaseException:
        await finish_shielded(delete_now(engine, op, record.id))
        raise


async def _settle_failure(
    engine: Engine, op: Operation, record: VmRecord, error: BangerError
) -> BangerError:
    """Keep what can be looked at of a VM whose start has failed; return the error to raise."""
    cause = error.__cause__
    if isinstance(error, BootFailed) and not isinstance(cause, HostFailed):
        if record.spec.ending.ephemeral:
            return await replace_by_report(engine, op, record, error)
        return error
    # Nothing has begun that could be looked at.
    await delete_now(engine, op, record.id)
    return cause if isinstance(cause, HostFailed) else error
