"""A network with nobody in it: one process holds its other end."""

from __future__ import annotations

import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from banger.host.attachments import AttachmentKind, Socket
from banger.host.files import ensure_private_dir
from banger.host.identity import ProcessIdentity, send_signal, spawn_identified, wait_gone
from banger.model.egress import Denial, Egress
from banger.model.names import VmId
from banger.model.secrets import BoundSecret
from banger.network.port import Interface, StartedNetwork, format_mac

ADDRESS = "10.99.7.2"


class ToyHandle(Struct, frozen=True, kw_only=True):
    """A toy network that was started."""

    network: str = "toy"
    holder: ProcessIdentity

    @property
    def processes(self) -> tuple[ProcessIdentity, ...]:
        return (self.holder,)

    def plan_interface(self, vm_id: VmId) -> Interface:
        return NETWORK.plan_interface(vm_id)

    async def set_egress(self, interface: Interface, egress: Egress) -> None:
        """Nothing can leave anyway."""

    async def set_bandwidth(self, mib: int) -> None:
        """As above."""

    async def set_secrets(self, bound: Sequence[BoundSecret]) -> bool:
        """Nothing carries them."""
        return False

    async def set_certificate(self, chain: bytes) -> None:
        """As above."""

    async def read_denials(self, interface: Interface) -> list[Denial]:
        return []

    async def end(self) -> None:
        send_signal(self.holder, signal.SIGKILL)
        await wait_gone(self.holder)


class ToyNetwork:
    """The kind of network that a test adds."""

    handle_type = ToyHandle
    process_names = ("sleep$",)
    programs = ("sleep",)
    addresses = 0
    nameserver = None

    def require_host(self) -> None:
        """Every host will do."""

    def require_policy(self, egress: Egress) -> None:
        """Each will do: nothing can leave anyway."""

    def plan_interface(self, vm_id: VmId, number: int = 0) -> Interface:
        return Interface(
            mac=format_mac(vm_id), address=ADDRESS, prefix=24, gateway="10.99.7.1", dns=()
        )

    async def start(
        self,
        interface: Interface,
        *,
        attachment: AttachmentKind,
        egress: Egress,
        log_file: Path,
        control: Path,
    ) -> StartedNetwork:
        assert attachment is AttachmentKind.SOCKET
        ensure_private_dir(log_file.parent)
        guest, ours = socket.socketpair()
        with ours:
            argv = ["sleep", "600"]
            holder = spawn_identified(argv, log_file=log_file, pass_fds=(ours.fileno(),))
        assert holder is not None
        return StartedNetwork(ToyHandle(holder=holder), Socket(guest))


NETWORK = ToyNetwork()
