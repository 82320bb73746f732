"""The engine: what the verbs work with. Fields only; the verbs are functions."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from banger.config import Settings
from banger.engine.hostfacts import HostFacts
from banger.engine.live import LiveVm
from banger.engine.operations import OPERATION_ID_BYTES, Operation, format_operation_id
from banger.engine.shared import SharedWork
from banger.engine.tasks import OwnedTasks
from banger.layout import Layout
from banger.model.names import VmId
from banger.store import Database

TRANSFERS = 8
"""How many requests to registries go on at once, over all pulls."""


@dataclass
class Engine:
    """Everything that verbs share."""

    layout: Layout
    settings: Settings
    database: Database
    host: HostFacts
    tasks: OwnedTasks
    """Watchers, shared work, what recovery does behind the open door."""
    shared: SharedWork
    pins: Counter[str] = field(default_factory=Counter)
    """How many operations need the saved machine of an origin at this moment (hazard C4)."""
    template_failures: Counter[str] = field(default_factory=Counter)
    """How often a template of this key could not be made or used while this daemon lived."""
    transfers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(TRANSFERS, thread_name_prefix="transfer")
    )
    """Threads that wait for registries; a download may outlive the request that began it."""
    live: dict[VmId, LiveVm] = field(default_factory=dict)
    now: Callable[[], float] = time.time
    random_bytes: Callable[[int], bytes] = os.urandom

    def live_vm(self, vm_id: VmId) -> LiveVm:
        """Return the momentary side of a VM, made when first asked for."""
        return self.live.setdefault(vm_id, LiveVm())

    def new_operation(self, method: str) -> Operation:
        """Return an operation of the engine's own, which no client asked for."""
        number = self.random_bytes(OPERATION_ID_BYTES)
        return Operation(format_operation_id(number), method, self.now())
