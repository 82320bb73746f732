"""A real daemon whose only VM, `box`, is the real agent as a process of this host.

`python -m tests.component.ssh.agent_daemon --ready-fd N`, with BANGER_TEST_AGENT: the agent's
program. So ssh is strained without an emulated guest. Whatever user is asked for, it is this one:
the agent is no root here and could become nobody.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from msgspec import structs

from banger.api.requests import VmRef
from banger.api.results import VmView, view_record
from banger.daemon.__main__ import _ready_fd, main
from banger.daemon.bindings import bind_verbs, find_verbs
from banger.daemon.calls import Call, Handler, Handlers
from banger.daemon.lifecycle import Control
from banger.engine.verbs import connect, execs
from banger.guest import GuestConnection
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState
from tests.support.agent import agent_connection
from tests.support.specs import make_spec


@contextlib.asynccontextmanager
async def open_handlers(control: Control) -> AsyncIterator[Handlers]:
    record = VmRecord(
        id=VmId("0" * 12), spec=make_spec("box"), state=VmState.RUNNING, created_at=0.0
    )
    engine: Any = None
    async with agent_connection(Path(os.environ["BANGER_TEST_AGENT"])) as connection:

        async def get_vm(_: object, __: str) -> VmRecord:
            return record

        async def get_connection(_: object, __: VmRecord) -> GuestConnection:
            return connection

        for module in (connect, execs):
            # There is no guest, hence no VM in this daemon's table.
            vars(module).update(get_vm=get_vm, get_connection=get_connection)

        async def show(_: Call, __: VmRef) -> VmView:
            return view_record(record)

        handlers = bind_verbs(find_verbs(), engine=engine, control=control)
        yield {
            **handlers,
            "vm.show": show,
            "vm.exec": _without_user(handlers["vm.exec"]),
            "vm.connect": _without_user(handlers["vm.connect"]),
        }


def _without_user(handler: Handler) -> Handler:
    async def handle(call: Call, params: Any) -> Any:
        return await handler(call, structs.replace(params, user=None))

    return handle


if __name__ == "__main__":
    sys.exit(main(open_handlers, ready_fd=_ready_fd(sys.argv[1:])))
