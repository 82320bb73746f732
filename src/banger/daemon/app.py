"""The composition root: builds the daemon's object graph."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from banger import engine as verbs
from banger.api.requests import VmList
from banger.daemon.calls import Handlers
from banger.daemon.handlers.artifacts import artifact_handlers
from banger.daemon.handlers.copies import copy_handlers
from banger.daemon.handlers.daemon import daemon_handlers
from banger.daemon.handlers.events import event_handlers
from banger.daemon.handlers.guest import guest_handlers
from banger.daemon.handlers.images import image_handlers
from banger.daemon.handlers.kernels import kernel_handlers
from banger.daemon.handlers.operations import operation_handlers
from banger.daemon.handlers.ports import port_handlers
from banger.daemon.handlers.queries import query_handlers
from banger.daemon.handlers.sessions import session_handlers
from banger.daemon.handlers.snapshots import snapshot_handlers
from banger.daemon.handlers.sockets import socket_handlers
from banger.daemon.handlers.vm import vm_handlers
from banger.daemon.handlers.workspace import workspace_handlers
from banger.daemon.lifecycle import Control


@contextlib.asynccontextmanager
async def open_handlers(control: Control) -> AsyncIterator[Handlers]:
    """Open the engine for the time of the block; yield every handler."""
    async with verbs.open_engine(
        control.layout, control.settings, operations=control.operations
    ) as engine:

        async def count_vms() -> int:
            return len(await verbs.list_vms(engine, VmList()))

        handlers: Handlers = {
            **daemon_handlers(control, count_vms=count_vms),
            **vm_handlers(engine),
            **query_handlers(engine),
            **guest_handlers(engine),
            **copy_handlers(engine),
            **port_handlers(engine),
            **socket_handlers(engine),
            **session_handlers(engine),
            **snapshot_handlers(engine),
            **workspace_handlers(engine),
            **artifact_handlers(engine),
            **operation_handlers(engine),
            **kernel_handlers(engine),
            **event_handlers(engine),
            **image_handlers(engine),
        }
        yield handlers
