"""The serial consoles of VMs, for one client at a time.

Takes no lock: if a VM ends, its console is closed. Only the daemon's memory knows whether a console
is taken, since the client's connection ends with the daemon.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_vm
from banger.errors import ConsoleTaken, WrongState
from banger.model.vm import LIVE
from banger.vmm.console import Console, attach_console


@contextlib.asynccontextmanager
async def open_console(engine: Engine, ref: str) -> AsyncIterator[Console]:
    """Attach to a VM's console for a block, also while the VM starts.

    Raises:
        WrongState: it does not run.
        VmmFailed: it has no console: an older banger started it.
        ConsoleTaken: another client is attached.
    """
    record = await get_vm(engine, ref)
    name, runtime, layout = record.spec.name, engine.runtime(record.id), engine.layout
    if record.state not in LIVE:
        raise WrongState(
            f"The VM {name} is not running (state: {record.state}).", hint=f"banger vm start {name}"
        )
    if runtime.console_taken:
        raise ConsoleTaken(
            f"Another client is attached to the console of {name}.",
            hint=f"banger vm logs -f {name}",
        )
    runtime.console_taken = True
    try:
        typed, log = layout.vm_console_input(record.id), layout.vm_console_log(record.id)
        async with attach_console(typed, log, name=name) as console:
            yield console
    finally:
        runtime.console_taken = False
