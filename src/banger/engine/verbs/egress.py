"""What may leave a VM: `egress.change`, `egress.log`.

A change holds the VM's lifecycle lock (L2): first the row, then the running network. If the process
dies between the two, the next daemon gives the network what the row says when it adopts the VM.
"""

from __future__ import annotations

from msgspec import structs

from banger import store
from banger.api.egress import DeniedTarget, EgressChange
from banger.api.method import serves
from banger.api.requests import VmRef
from banger.engine.state.became import changed
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_vm, reload_vm, require_undamaged
from banger.engine.state.machine import Machine, load_machine
from banger.engine.state.operations import Operation
from banger.engine.steps.network import find_bound, read_denials, set_bandwidth, set_egress
from banger.engine.verbs.resolve import require_names
from banger.errors import NotSupported, WrongState
from banger.model.egress import Egress, add_rules, find_rule
from banger.model.vm import LIVE, VmRecord
from banger.network.table import require_policy
from banger.words import NO_NETWORK


@serves("egress.change")
async def change_egress(engine: Engine, op: Operation, params: EgressChange) -> Egress:
    """Change a VM's egress policy, kept with the VM, and at once if the VM runs.

    Raises:
        InvalidRequest: a rule or the profile is not valid.
        NotSupported: its network cannot hold it to this.
        WrongState: the VM has no network, or one that would have to be another; or an older
            banger started it: what it does not know of the change holds from the next start.
        VmmFailed: the running network does not answer; the policy holds from the next start.
    """
    vm_id = (await get_vm(engine, params.ref)).id
    async with engine.runtime(vm_id).lifecycle.hold(op):
        record = await reload_vm(engine, vm_id)
        require_undamaged(record)
        _require_network(record)
        egress = add_rules(
            record.spec.egress,
            params.rules,
            profile=params.profile,
            bandwidth_mib=params.bandwidth_mib,
        )
        for shape in filter(None, (record.spec.shape, record.pending)):
            require_policy(shape.network, egress)
        if record.state in LIVE and egress.is_by_name != record.spec.egress.is_by_name:
            raise _other_network(record, egress)
        if record.spec.secrets.placeholders:
            require_names(egress)
        spec = structs.replace(record.spec, egress=egress)
        await engine.database.write(store.update_spec, structs.replace(record, spec=spec))
        changed(engine, await reload_vm(engine, vm_id), ["egress"])
        if record.state in LIVE:
            await _apply(await load_machine(engine, vm_id), params)
    return egress


async def _apply(machine: Machine, change: EgressChange) -> None:
    """Have a running network apply what was changed; an earlier change may wait for a start."""
    if change.rules or change.profile is not None:
        try:
            await set_egress(machine, await find_bound(machine))
        except NotSupported as error:
            raise _too_old(
                machine.record, "cannot apply all rules; they are saved for the next start"
            ) from error
    if change.bandwidth_mib is not None:
        try:
            await set_bandwidth(machine)
        except NotSupported as error:
            raise _too_old(
                machine.record, "cannot limit the bandwidth; the limit is saved for the next start"
            ) from error


@serves("egress.log")
async def list_denials(engine: Engine, params: VmRef) -> list[DeniedTarget]:
    """Return what a running VM was denied since its start, the 256 last targets, oldest first.

    Raises:
        WrongState: the VM has no network, does not run, or has a network of an older banger.
        VmmFailed: the network does not answer.
    """
    record = await get_vm(engine, params.ref)
    _require_network(record)
    if record.state not in LIVE:
        raise WrongState(
            f"{record.spec.name} is {record.state.value}; its network has ended.",
            hint=f"banger vm start {record.spec.name}",
        )
    try:
        denials = await read_denials(await load_machine(engine, record.id))
    except NotSupported as error:
        raise _too_old(record, "does not record what it denies") from error
    return [
        DeniedTarget(
            target=each.target,
            times=each.times,
            last_at=each.last_at,
            rule=find_rule(each),
            why=each.why,
        )
        for each in sorted(denials, key=lambda each: each.last_at)
    ]


def _require_network(record: VmRecord) -> None:
    if record.spec.shape.network == NO_NETWORK:
        raise WrongState(
            f"{record.spec.name} has no network.",
            hint=f"banger vm set {record.spec.name} --network user",
        )


def _other_network(record: VmRecord, egress: Egress) -> WrongState:
    name, profile = record.spec.name, egress.profile.value
    return WrongState(
        f"{name} is running; the egress profile {profile} needs a new network.",
        hint=f"banger vm stop {name}",
    )


def _too_old(record: VmRecord, lack: str) -> WrongState:
    name = record.spec.name
    return WrongState(
        f"An older banger started the network of {name}, which {lack}.",
        hint=f"banger vm restart {name}",
    )
