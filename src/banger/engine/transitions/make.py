"""Create the beginning of a VM: its row with an open journal, and its durable parts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from sqlite3 import Connection

import msgspec

from banger import store
from banger.engine.state.became import appeared
from banger.engine.state.engine import Engine
from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.engine.state.tasks import finish_shielded
from banger.engine.steps.runner import run_undoable
from banger.engine.transitions.delete import forget
from banger.engine.transitions.publishing import save_forwards
from banger.errors import NameTaken
from banger.forwards import Forward
from banger.model.names import ID_BYTES, format_vm_id, format_word_pair
from banger.model.vm import Role, User, VmRecord, VmSpec, VmState, WorkspaceRecord
from banger.plan.lifecycle import plan_create

NAME_TRIES = 20
"""How often another word pair is tried when a generated name is taken."""


async def claim_vm(
    engine: Engine,
    op: Operation,
    spec: VmSpec,
    *,
    origin: str | None = None,
    role: Role = User(),  # noqa: B008 - frozen
    workspace: WorkspaceRecord | None = None,
    forwards: Sequence[Forward] = (),
) -> Machine:
    """Insert the VM's row; a generated name that is taken is generated again (C6).

    A VM that starts from a saved machine is `starting` from its first moment.

    `forwards`: the ports that its user publishes.

    Raises:
        NameTaken: another VM has the name that the spec asks for.
        PortTaken: another VM has published one of the ports.
    """
    state = VmState.CREATED if origin is None else VmState.STARTING
    tries = 1 if spec.name else NAME_TRIES
    while True:
        tries -= 1
        name = spec.name or format_word_pair(int.from_bytes(engine.random_bytes(4)))
        record = VmRecord(
            id=format_vm_id(engine.random_bytes(ID_BYTES)),
            spec=msgspec.structs.replace(spec, name=name),
            state=state,
            created_at=engine.now(),
            origin=origin,
            role=role,
            workspace=workspace,
        )
        try:
            await _insert_or_forget(engine, op, record, forwards)
        except NameTaken:
            if not tries:
                raise
        else:
            engine.operations.concerns(record.id)
            appeared(engine, record)
            return Machine(engine, record)


async def _insert_or_forget(
    engine: Engine, op: Operation, record: VmRecord, forwards: Sequence[Forward]
) -> None:
    """Insert a VM's row; a caller that is cancelled meanwhile leaves none (C5)."""
    try:
        await engine.database.write(insert_claimed, op, record, forwards)
    except asyncio.CancelledError:
        # The transaction is completed in its thread, even if this task is cancelled.
        await finish_shielded(forget(engine, op, record.id))
        raise


def insert_claimed(
    connection: Connection, op: Operation, record: VmRecord, forwards: Sequence[Forward] = ()
) -> None:
    """Claim a VM's name, its address and its ports, and open the journal of its making.

    All in one transaction. The engine's own VMs have no address.
    """
    store.insert_vm(connection, record)
    if isinstance(record.role, User):
        store.allocate_address(connection, record.id)
    save_forwards(connection, record.id, forwards)
    if record.workspace is not None:
        store.update_workspace(connection, record.id, record.workspace)
    store.begin_operation(connection, op.id, "vm.create", record.id, now=record.created_at)


async def make_parts(machine: Machine, op: Operation) -> None:
    """Make the durable parts of a claimed VM, or leave nothing of it."""
    op.progress("create")

    def close(connection: Connection) -> None:
        store.end_operation(connection, op.id)

    try:
        plan = plan_create(machine.id, machine.record.spec)
        await run_undoable(machine, op, plan, save=close)
    except BaseException:
        await finish_shielded(forget(machine.engine, op, machine.id))
        raise
