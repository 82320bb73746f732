"""The VM of one ssh connection, as the daemon's API gives access to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from banger.api import wire
from banger.client.aio import DaemonStream, call, open_stream
from banger.errors import WrongState


@dataclass(frozen=True)
class Guest:
    """A running VM. `socket`: the daemon's."""

    socket: str
    vm_id: str
    name: str

    async def open(self, method: str, params: wire.Document) -> DaemonStream:
        """Call a `stream` method of this VM.

        Raises:
            BangerError: the daemon's error.
        """
        return await open_stream(self.socket, method, {"ref": self.vm_id, **params})

    async def accept(self, token: str) -> DaemonStream:
        """Take a connection that a `vm.listen` of this VM has announced.

        Raises:
            BangerError: the daemon's error.
        """
        return await open_stream(self.socket, "vm.accept", {"token": token})


async def find_guest(socket: str, ref: str) -> Guest:
    """Return the VM that a client means.

    Raises:
        VmNotFound, VmAmbiguous: it means none, or several.
        WrongState: the VM does not run.
        DaemonUnreachable: the daemon has ended.
    """
    view = cast(dict[str, str], await call(socket, "vm.show", {"ref": ref}))
    name, state = view["name"], view["state"]
    if state != "running":
        verb = "resume" if state == "paused" else "start"
        raise WrongState(
            f"The VM {name} is not running (state: {state}).", hint=f"banger vm {verb} {name}"
        )
    return Guest(socket, view["id"], name)
