"""A real daemon whose only VM, `box`, is the real agent as a process of this host.

`python -m tests.component.sessions.agent_daemon --ready-fd N`, with BANGER_TEST_AGENT_FD: the
host's end of the agent's socket. Whoever starts this keeps that end open, so the agent outlives
this daemon, as a VM would, and serves the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from banger.api.requests import VmRef
from banger.api.results import VmView, view_record
from banger.api.sessions import SessionRef
from banger.daemon.__main__ import _ready_fd, main
from banger.daemon.bindings import bind_verbs, find_verbs
from banger.daemon.calls import Call, Handlers
from banger.daemon.lifecycle import Control
from banger.engine.verbs import copies, execs, sessions
from banger.errors import VmNotFound
from banger.guest import GuestConnection, connect
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState
from banger.store import open_database
from tests.support.specs import make_spec


@contextlib.asynccontextmanager
async def open_handlers(control: Control) -> AsyncIterator[Handlers]:
    record = VmRecord(
        id=VmId("0" * 12), spec=make_spec("box"), state=VmState.RUNNING, created_at=0.0
    )
    database = await open_database(control.layout.state / "tokens.db")
    engine: Any = SimpleNamespace(
        random_bytes=os.urandom, database=database, token_deleted=asyncio.Event()
    )
    sock = socket.socket(fileno=int(os.environ["BANGER_TEST_AGENT_FD"]))
    connection = await connect(sock, deadline_s=60)

    async def get_vm(_: object, ref: str) -> VmRecord:
        if ref not in (record.spec.name, record.id):
            raise VmNotFound(f"There is no VM {ref}.", hint="banger vm list")
        return record

    async def get_connection(_: object, __: VmRecord) -> GuestConnection:
        return connection

    for module in (copies, execs, sessions):
        # There is no guest, hence no VM in this daemon's table.
        vars(module).update(get_vm=get_vm, get_connection=get_connection)

    async def show(_: Call, __: VmRef) -> VmView:
        return view_record(record)

    handlers = bind_verbs(find_verbs(), engine=engine, control=control)

    async def wait(call: Call, params: SessionRef) -> object:
        with open(control.layout.state / "events", "a") as file:  # noqa: ASYNC230 - a test's
            file.write("waits\n")
        return await handlers["session.wait"](call, params)

    yield {**handlers, "session.wait": wait, "vm.show": show}
    await connection.close()
    await database.close()


if __name__ == "__main__":
    sys.exit(main(open_handlers, ready_fd=_ready_fd(sys.argv[1:])))
