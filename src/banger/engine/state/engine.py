"""The engine: what the verbs work with. Fields only; the verbs are functions."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from banger.api.caller import merge_caller
from banger.engine.state.demand import Demand
from banger.engine.state.events import Events
from banger.engine.state.hostfacts import HostFacts
from banger.engine.state.operations import (
    OPERATION_ID_BYTES,
    Operation,
    current_caller,
    format_operation_id,
)
from banger.engine.state.running import OperationTable
from banger.engine.state.runtime import VmRuntime
from banger.engine.state.settings import SettingsNow
from banger.engine.state.shared import SharedWork
from banger.engine.state.tasks import OwnedTasks
from banger.host.limits import may_move_children
from banger.host.memory import read_available_mib
from banger.layout import Layout
from banger.model.names import OperationId, VmId
from banger.names import Names
from banger.settings import Settings
from banger.store import Database
from banger.vmm.driver import VmmHandle

TRANSFERS = 8
"""Requests to registries at the same time, over all pulls."""


@dataclass(frozen=True)
class Attendant:
    """An attendant of a VM; `attendants` starts and ends it."""

    name: str
    attend: Callable[[Engine, VmId, VmmHandle], Coroutine[object, object, None]]
    """Cancelled when the VM has ended, and when the daemon stops."""


@dataclass
class Engine:
    """Everything that verbs share."""

    layout: Layout
    settings_now: SettingsNow
    database: Database
    host: HostFacts
    tasks: OwnedTasks
    """Watchers, shared work, and recovery in the background."""
    shared: SharedWork
    operations: OperationTable
    attendants: tuple[Attendant, ...]
    """The attendants of each VM that has a VMM."""
    pins: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The operations that need the saved machine of an origin at this moment (hazard C4)."""
    promises: dict[OperationId, int] = field(default_factory=dict)
    """Memory in MiB that operations are about to give to guests (`transitions.capacity`)."""
    kernel_needs: dict[str, str] = field(default_factory=dict)
    """Name or digest of the kernel that each operation needs at this moment (hazard C4)."""
    image_needs: dict[str, str] = field(default_factory=dict)
    """The same of images."""
    removals: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a kernel or an image is removed: milliseconds."""
    template_failures: Counter[str] = field(default_factory=Counter)
    """How often a template of this key could not be made or used while this daemon lived."""
    suspects: set[str] = field(default_factory=set)
    """Templates that a VM could not be made of, and whose host might be at fault."""
    failed_recipes: set[str] = field(default_factory=set)
    """Those whose images could not be built anew: the old ones do for this daemon's life."""
    names: Names | None = None
    """What leads to VMs by their names, while the loop of names keeps it."""
    demand: Demand = field(default_factory=Demand)
    transfers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(TRANSFERS, thread_name_prefix="transfer")
    )
    """Threads that wait for registries; a download may outlive the request that began it."""
    runtimes: dict[VmId, VmRuntime] = field(default_factory=dict)
    events: Events = field(default_factory=lambda: Events(time.time))
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """A VM runs: set for the loop that ends VMs, which clears it."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """A VM has ended: set for the loop that restarts VMs, which clears it."""
    outcome_pending: asyncio.Event = field(default_factory=asyncio.Event)
    """An outcome could not be saved: set for the loop that retries, which clears it."""
    token_deleted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a token was deleted, for those who wait for its end, and then replaced."""
    now: Callable[[], float] = time.time
    random_bytes: Callable[[int], bytes] = os.urandom
    available_mib: Callable[[], int] = read_available_mib
    """How much memory the host can still give to programs."""
    may_make_scopes: Callable[[], bool] = may_move_children
    """Whether what runs of VMs may be given to the user's service manager."""

    @property
    def settings(self) -> Settings:
        """The settings that hold now, for the request that this task works for."""
        return self.settings_now()

    def caller_environ(self) -> dict[str, str]:
        """Return our environment with the variables of the request's caller in place of ours."""
        caller = current_caller.get()
        return dict(os.environ) if caller is None else merge_caller(os.environ, caller)

    def runtime(self, vm_id: VmId) -> VmRuntime:
        """Return the momentary side of a VM, made when first asked for."""
        runtime = self.runtimes.get(vm_id)
        if runtime is None:
            runtime = self.runtimes[vm_id] = VmRuntime()
        return runtime

    def new_operation(self, method: str) -> Operation:
        """Return an operation of the engine's own, which no client asked for."""
        number = self.random_bytes(OPERATION_ID_BYTES)
        return Operation(format_operation_id(number), method, self.now())
