"""The protocol between the engine and a network, and its values. Pure."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Protocol

from banger.host.attachments import Attachment, AttachmentKind
from banger.host.identity import ProcessIdentity
from banger.model.egress import Denial, Egress
from banger.model.names import VmId
from banger.model.secrets import BoundSecret


@dataclass(frozen=True, kw_only=True)
class Interface:
    """A guest's interface: the facts that both sides must agree on."""

    mac: str
    address: str
    prefix: int
    gateway: str
    dns: tuple[str, ...]
    address6: str | None = None


class NetworkHandle(Protocol):
    """A network that was started: plain values, saved as JSON, so that a later daemon knows it."""

    @property
    def network(self) -> str:
        """The word of its kind."""
        ...

    @property
    def processes(self) -> tuple[ProcessIdentity, ...]:
        """The processes that it consists of."""
        ...

    def plan_interface(self, vm_id: VmId) -> Interface:
        """Return the interface of the VM that it was started for."""
        ...

    async def set_egress(self, interface: Interface, egress: Egress) -> None:
        """Change the rules of what may leave; return when they hold.

        Raises:
            NotSupported: an older banger started the network.
            VmmFailed: the network does not answer.
        """
        ...

    async def set_bandwidth(self, mib: int) -> None:
        """Change how many MiB may pass each way in a second; 0: any number.

        Raises:
            NotSupported, VmmFailed: as above.
        """
        ...

    async def set_secrets(self, bound: Sequence[BoundSecret]) -> bool:
        """Set what is put in the place of the guest's placeholders; return when it is.

        Tells whether it lacks a certificate for one of the hosts; TLS to that passes unchanged.

        Raises:
            NotSupported: the network does not reach hosts by name.
            VmmFailed: the network does not answer.
        """
        ...

    async def set_certificate(self, chain: bytes) -> None:
        """Set a line with the names of hosts, a key, and its certificate for them.

        Raises:
            NotSupported, VmmFailed: as above.
        """
        ...

    async def read_denials(self, interface: Interface) -> list[Denial]:
        """Return what the guest was denied last.

        Raises:
            NotSupported, VmmFailed: as above.
        """
        ...

    async def end(self) -> None:
        """End the network whatever it does; fine if it has ended.

        Raises:
            VmmFailed: not even SIGKILL ended it.
        """
        ...


@dataclass(frozen=True)
class StartedNetwork:
    """A network that waits for its VMM.

    Give `attachment` to `Driver.spawn` and close its socket afterwards. Closing it without a VMM
    ends the network.
    """

    handle: NetworkHandle
    attachment: Attachment


class Nameserver(Protocol):
    """Where the guests of a network that VMs share ask the host for names."""

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Of whose addresses the guests are."""
        ...

    def list_addresses(self) -> tuple[str, ...]:
        """Return the addresses that the host has in them now."""
        ...

    def find(self) -> Hashable | None:
        """Return what tells its sockets from earlier ones; None: there are none now."""
        ...

    async def open(self) -> tuple[socket.socket, socket.socket]:
        """Return its sockets, of UDP and TCP, which do not block; the caller closes them.

        Raises:
            HostNotReady, VmmFailed: they cannot be had.
        """
        ...


@dataclass(frozen=True)
class Finding:
    """What there is to say of a network on this host."""

    fact: str
    hint: str | None = None
    """The command that mends it, if something is wrong."""


class Service(Protocol):
    """What root installs on the host for a network: one program, and its unit of systemd."""

    def build_program(self) -> bytes:
        """Return the program: the same bytes of the same release."""
        ...

    def render_unit(self, uid: int) -> str:
        """Return the unit that runs it for this user."""
        ...

    def require_host(self, unit: str) -> None:
        """Check that root can install this unit here, and that the place is free.

        Raises:
            HostNotReady, ToolMissing: it is not so.
        """
        ...

    def is_installed(self) -> bool:
        """Tell whether there is anything to remove."""
        ...

    def plan_install(self, program: Path, unit: Path) -> tuple[tuple[str, ...], ...]:
        """Return the commands for root that put these two files into force."""
        ...

    def plan_removal(self) -> tuple[tuple[str, ...], ...]:
        """Return the commands for root after which nothing is left of it."""
        ...

    def require_answer(self) -> None:
        """Check that it serves this user.

        Raises:
            HostNotReady: it does not; `retryable`: not yet, and `hint` is where its log is.
        """
        ...

    def probe(self) -> Finding:
        """Return whether VMs can have the network, and what is in the way. Changes nothing."""
        ...


class Network(Protocol):
    """How the engine gives VMs a network of one kind."""

    @property
    def handle_type(self) -> type[NetworkHandle]:
        """What its handles are decoded as."""
        ...

    @property
    def process_names(self) -> tuple[str, ...]:
        """Patterns of the names that its processes' files have."""
        ...

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs that it needs on the host."""
        ...

    def require_host(self) -> None:
        """Check that this host can give a VM such a network now.

        Raises:
            HostNotReady: it cannot.
        """
        ...

    def require_policy(self, egress: Egress) -> None:
        """Check that it can hold VMs to such a policy, on whatever host.

        Raises:
            NotSupported: it cannot.
        """
        ...

    @property
    def service(self) -> Service | None:
        """What root has to install for it; None: nothing."""
        ...

    @property
    def addresses(self) -> int:
        """How many addresses it has for VMs, each of one VM; 0: all VMs have the same."""
        ...

    @property
    def nameserver(self) -> Nameserver | None:
        """Where guests ask; None: queries get to the host's resolver without the daemon."""
        ...

    def plan_interface(self, vm_id: VmId, number: int = 0) -> Interface:
        """Return the interface of a VM: the same at each of its starts.

        `number` is that of the VM's address, less than `addresses`, if each has its own.
        """
        ...

    async def start(
        self,
        interface: Interface,
        *,
        attachment: AttachmentKind,
        egress: Egress,
        log_file: Path,
        control: Path,
    ) -> StartedNetwork:
        """Start a VM's network and return when it answers and its egress policy holds.

        `attachment` is what the VM's driver can be joined to. `log_file` is below the VM's
        directory, which also marks the processes as the VM's. `control` is the place of a socket.

        Raises:
            ToolMissing: a program is not installed.
            HostNotReady: the host lacks something else.
            NotSupported: such a VMM cannot be joined to it.
            VmmFailed: a process does not start.
        """
        ...


def format_mac(vm_id: VmId) -> str:
    """Return a VM's MAC address: locally administered, and the VM's own (hazard D2)."""
    digest = hashlib.sha256(vm_id.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))
