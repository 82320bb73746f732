"""Change a VM's shape, name and labels: `vm set`. Holds L2 for one transaction.

Name and labels change at once. The machine's shape cannot change under a VMM, and what is saved
of a running VM must fit the machine as it is: while there is one the new shape is
`VmRecord.pending`, and the next boot makes it so. If the process dies the change was saved, or it
was not.
"""

from __future__ import annotations

from msgspec import structs

from banger import store
from banger.api.method import serves
from banger.api.requests import VmSet
from banger.api.results import VmView
from banger.engine.state.became import changed
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_vm, reload_vm, require_undamaged
from banger.engine.state.operations import Operation
from banger.engine.verbs.resolve import require_labels
from banger.engine.views.vms import view_vm
from banger.errors import InvalidRequest
from banger.model.names import parse_vm_name
from banger.model.vm import (
    LIVE,
    Shape,
    VmRecord,
    require_sizes,
)
from banger.network.table import require_policy
from banger.sizes import format_size
from banger.vmm.table import require_shape
from banger.words import require_network


@serves("vm.set")
async def set_vm(engine: Engine, op: Operation, params: VmSet) -> VmView:
    """Change a VM; all of it or nothing.

    The view has a notice if some of it waits for the next boot.

    Raises:
        InvalidRequest: a value is out of range, or the disk would become smaller.
        NotSupported: the VM's driver runs no VM of this shape, or its network has no such policy.
        NameTaken: another VM has the name.
    """
    vm_id = (await get_vm(engine, params.ref)).id
    async with engine.runtime(vm_id).lifecycle.hold(op):
        record = await reload_vm(engine, vm_id)
        require_undamaged(record)
        await engine.database.write(store.update_spec, change_record(record, params))
        record = await reload_vm(engine, vm_id)
        changed(engine, record, _list_changes(params))
    waits = record.state in LIVE and (params.name is not None or _asks_for_shape(params))
    return await view_vm(
        engine, record, notice=_describe_waiting(record, params) if waits else None
    )


def change_record(record: VmRecord, params: VmSet) -> VmRecord:
    """Return what a VM is to be. Pure.

    Raises:
        InvalidRequest, NotSupported: it cannot have it.
    """
    spec = record.spec
    if params.name is not None:
        spec = structs.replace(spec, name=parse_vm_name(params.name))
    if params.keep:
        spec = structs.replace(spec, ending=structs.replace(spec.ending, ephemeral=False))
    changed = {key: value for key, value in params.labels.items() if value is not None}
    require_labels(changed)
    kept = {key: value for key, value in spec.labels.items() if key not in params.labels}
    spec = structs.replace(spec, labels=kept | changed)
    shape = _change_shape(record, params)
    if record.state not in LIVE:
        return structs.replace(record, spec=structs.replace(spec, shape=shape), pending=None)
    return structs.replace(record, spec=spec, pending=None if shape == spec.shape else shape)


def _change_shape(record: VmRecord, params: VmSet) -> Shape:
    spec = record.spec
    asked = {
        "vcpu": params.vcpu,
        "memory_mib": params.memory_mib,
        "disk_mib": params.disk_mib,
        "network": params.network and require_network(params.network),
    }
    given = {key: value for key, value in asked.items() if value is not None}
    shape = structs.replace(record.pending or spec.shape, **given)
    require_sizes(vcpu=shape.vcpu, memory_mib=shape.memory_mib, disk_mib=shape.disk_mib)
    require_shape(spec.driver, vcpu=shape.vcpu, network=shape.network)
    require_policy(shape.network, spec.egress)
    if shape.disk_mib < spec.shape.disk_mib:
        raise InvalidRequest(
            f"The disk of {spec.name} has {format_size(spec.shape.disk_mib)} and can only "
            f"grow; {format_size(shape.disk_mib)} is smaller.",
            hint=f"banger vm set {spec.name} --disk {-(-spec.shape.disk_mib // 512)}G",
        )
    return shape


def _list_changes(params: VmSet) -> list[str]:
    """Return what was asked to be changed, in the words of the request."""
    asked = {name: getattr(params, name) for name in params.__struct_fields__ if name != "ref"}
    return [name for name, value in asked.items() if value]


def _asks_for_shape(params: VmSet) -> bool:
    return (params.vcpu, params.memory_mib, params.disk_mib, params.network) != (None,) * 4


def _describe_waiting(record: VmRecord, params: VmSet) -> str | None:
    """Return what waits for the next boot, or None."""
    before, after = record.spec.shape, record.pending
    waiting = [] if params.name is None else ["the host name in the guest"]
    if after is not None:
        names = {"vcpu": "vcpu", "memory_mib": "memory", "disk_mib": "disk", "network": "network"}
        waiting += [
            name for field, name in names.items() if getattr(before, field) != getattr(after, field)
        ]
    if not waiting:
        return None
    return f"Takes effect when {record.spec.name} is restarted: {', '.join(waiting)}."
