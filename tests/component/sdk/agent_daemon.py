"""The scripted daemon, with real events, whose VMs have one real agent: sessions and files are its.

`python -m tests.component.sdk.agent_daemon --ready-fd N`, with BANGER_TEST_AGENT: the agent's
program, and BANGER_TEST_WORKSPACE: the directory of this host below which relative paths are.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from banger.api.requests import VmCreate, VmDelete, VmRef
from banger.daemon.__main__ import _ready_fd, main
from banger.daemon.bindings import bind_verbs, find_verbs
from banger.daemon.calls import Call, Handlers
from banger.daemon.lifecycle import Control
from banger.engine.state.events import Events
from banger.engine.verbs import copies, execs, sessions
from banger.engine.views import vms
from banger.guest import GuestConnection
from banger.model.names import VmId
from banger.model.vm import EventKind, VmRecord, VmState, WorkspaceRecord
from tests.component.daemon import scripted
from tests.support.agent import agent_connection
from tests.support.specs import make_spec

REAL = ("session.", "vm.copy_", "vm.stat_file", "vm.list_directory", "vm.watch")


@contextlib.asynccontextmanager
async def open_handlers(control: Control) -> AsyncIterator[Handlers]:
    events = Events(time.time)
    engine: Any = SimpleNamespace(random_bytes=os.urandom, events=events)
    workspace = WorkspaceRecord(
        host_path="/", guest_path=os.environ["BANGER_TEST_WORKSPACE"], commit="0" * 40, base="b"
    )
    async with (
        scripted.open_handlers(control) as handlers,
        agent_connection(Path(os.environ["BANGER_TEST_AGENT"])) as connection,
    ):

        async def get_vm(_: object, ref: str) -> VmRecord:
            view: Any = await handlers["vm.show"](SimpleNamespace(), VmRef(ref=ref))  # type: ignore[arg-type]  # not used
            return VmRecord(
                id=VmId(view.id),
                spec=make_spec(view.name),
                state=VmState.RUNNING,
                created_at=0.0,
                workspace=workspace,
            )

        async def get_connection(_: object, __: VmRecord) -> GuestConnection:
            return connection

        async def create(call: Call, params: VmCreate) -> object:
            view: Any = await handlers["vm.create"](call, params)
            events.publish(EventKind.CREATED, view.id, view.name, state=view.state)
            return view

        async def delete(call: Call, params: VmDelete) -> object:
            view: Any = await handlers["vm.show"](call, VmRef(ref=params.ref))
            deleted = await handlers["vm.delete"](call, params)
            events.publish(EventKind.DELETED, view.id, view.name)
            return deleted

        for module in (copies, execs, sessions, vms):
            # There is no guest, hence no VM in this daemon's table.
            vars(module).update(get_vm=get_vm, get_connection=get_connection)
        real = bind_verbs(find_verbs(), engine=engine, control=control)
        chosen = {name: verb for name, verb in real.items() if name.startswith(REAL)}
        yield {**handlers, **chosen, "vm.create": create, "vm.delete": delete}


if __name__ == "__main__":
    sys.exit(main(open_handlers, ready_fd=_ready_fd(sys.argv[1:])))
