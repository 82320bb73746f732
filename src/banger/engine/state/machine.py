"""A VM while a plan runs on it: its record and the handles of its processes, read once.

Whoever starts or ends a process of the VM saves or deletes the handle's row first and then sets
it here, so that the value says what the rows say. The lifecycle lock (L2) is held meanwhile, or
nobody else can change them. If the process dies the rows are what is left, and the next daemon
loads another value of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from sqlite3 import Connection

from banger import store
from banger.engine.state.engine import Engine
from banger.engine.state.handles import parse_handle, parse_network
from banger.engine.state.lookup import insist, require_found
from banger.engine.state.runtime import VmRuntime
from banger.errors import VmmFailed
from banger.host.identity import ProcessIdentity
from banger.model.names import VmId
from banger.model.vm import VmRecord
from banger.network.port import Interface, NetworkHandle
from banger.vmm.driver import Driver, DriverKind, VmmControl, VmmHandle
from banger.vmm.table import find_driver_kind


@dataclass
class Machine:
    """What every step of a plan is given."""

    engine: Engine
    record: VmRecord
    vmm: VmmHandle | None = None
    """None: the VM has no VMM, or the handle's row is damaged (B9)."""
    network: NetworkHandle | None = None
    """The same of its network back end."""

    @property
    def id(self) -> VmId:
        """The VM's id."""
        return self.record.id

    @property
    def runtime(self) -> VmRuntime:
        """The VM's locks and its connection."""
        return self.engine.runtime(self.record.id)

    @property
    def processes(self) -> tuple[ProcessIdentity, ...]:
        """Every process that a handle names."""
        of_vmm = () if self.vmm is None else (self.vmm.process, self.vmm.monitor)
        of_network = () if self.network is None else self.network.processes
        return tuple(process for process in (*of_vmm, *of_network) if process is not None)

    @property
    def interface(self) -> Interface | None:
        """The guest's interface, by the network that was started for it."""
        return None if self.network is None else self.network.plan_interface(self.id)

    @property
    def kind(self) -> DriverKind:
        """The kind of driver of the VM's VMM."""
        return find_driver_kind(self.record.spec.driver if self.vmm is None else self.vmm.driver)

    @property
    def control(self) -> VmmControl:
        """What the VM's VMM is controlled by."""
        return self.kind.control

    async def driver(self) -> Driver:
        """Return the driver of the VM's VMM, which starts and saves it.

        Raises:
            HostNotReady: the VMM's program is missing or too old.
        """
        word = self.record.spec.driver if self.vmm is None else self.vmm.driver
        return await self.engine.host.driver(word)

    def require_vmm(self) -> VmmHandle:
        """Return the handle of the VM's VMM.

        Raises:
            VmmFailed: it has none.
        """
        if self.vmm is None:
            raise VmmFailed(f"The VM {self.id} has ended.", hint="banger vm list")
        return self.vmm


async def load_machine(engine: Engine, vm_id: VmId) -> Machine:
    """Return a VM that was found before, as its rows have it now.

    Raises:
        VmNotFound: it was deleted meanwhile.
        DatabaseFailed, NoSpace: the rows cannot be read, tried for a second.
    """
    saved, handles = await insist(lambda: engine.database.read(load_rows, vm_id))
    return Machine(
        engine=engine,
        record=require_found(engine, vm_id, saved),
        vmm=parse_handle(handles.get("vmm"), VmmHandle),
        network=parse_network(handles.get("network")),
    )


def load_rows(connection: Connection, vm_id: VmId) -> tuple[VmRecord | None, dict[str, bytes]]:
    """Return a VM's row and its handles, as one moment has them."""
    return store.find_vm(connection, vm_id), store.load_handles(connection, vm_id)
