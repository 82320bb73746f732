"""A real daemon that copies into and out of the real agent, a process of this host.

`python -m tests.component.copies.agent_daemon --ready-fd N`, with BANGER_TEST_AGENT: the agent's
program. Every VM is called `box` and has this host's files. The VM `hostile` sends the archive
`hostile.tar` of the state directory, whatever it is asked for.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from banger.api.requests import VmCopyOut
from banger.api.results import GuestFile, StartedCopy
from banger.daemon.__main__ import _ready_fd, main
from banger.daemon.bindings import bind_verbs, find_verbs
from banger.daemon.calls import Call, Exit, Handlers
from banger.daemon.lifecycle import Control
from banger.engine.verbs import copies
from banger.guest import GuestConnection
from banger.model.names import VmId
from banger.model.vm import VmRecord, VmState, WorkspaceRecord
from tests.support.agent import agent_connection
from tests.support.specs import make_spec

PIECE = 100_000


@contextlib.asynccontextmanager
async def open_handlers(control: Control) -> AsyncIterator[Handlers]:
    workspace = WorkspaceRecord(
        host_path="/", guest_path=os.environ["BANGER_TEST_WORKSPACE"], commit="0" * 40, base="b"
    )
    record = VmRecord(
        id=VmId("0" * 12),
        spec=make_spec("box"),
        state=VmState.RUNNING,
        created_at=0.0,
        workspace=workspace,
    )
    engine: Any = None
    async with agent_connection(Path(os.environ["BANGER_TEST_AGENT"])) as connection:

        async def get_vm(_: object, __: str) -> VmRecord:
            return record

        async def get_connection(_: object, __: VmRecord) -> GuestConnection:
            return connection

        copies.get_vm, copies.get_connection = get_vm, get_connection
        handlers = bind_verbs(find_verbs(), engine=engine, control=control)

        async def copy_out(call: Call, params: VmCopyOut) -> Exit:
            if params.ref != "hostile":
                return await handlers["vm.copy_out"](call, params)  # type: ignore[return-value]  # its exit
            return await _send_hostile(control, call, params)

        yield {**handlers, "vm.copy_out": copy_out}


async def _send_hostile(control: Control, call: Call, params: VmCopyOut) -> Exit:
    file = GuestFile(
        path=params.path, kind="directory", mode=0o755, size=0, modified_at=0.0, target=None
    )
    is_content = params.path.endswith("/.")
    name = "" if is_content else os.path.basename(params.path)
    stream = await call.start_stream(StartedCopy(path=params.path, file=file, name=name))
    content = (control.layout.state / "hostile.tar").read_bytes()
    for at in range(0, len(content), PIECE):
        await stream.write(1, content[at : at + PIECE])
    return {"status": 0}


if __name__ == "__main__":
    sys.exit(main(open_handlers, ready_fd=_ready_fd(sys.argv[1:])))
