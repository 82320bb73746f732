"""A guest's network on the bridge: its TAP, behind an egress filter.

    VMM == socket pair == egress filter == TAP's queue -- bridge
    VMM == TAP == a second TAP's queue == egress filter == TAP's queue -- bridge

The filter alone has the TAP's queue, so the TAP is gone with it, and it ends with the VMM, or with
a daemon that dies before the VMM has its end. What leaves a guest is judged twice: by the VM's
egress policy in the filter, by the port's rules in the kernel (nft.py).

Writes the VM's network log. Takes no locks: the engine holds the VM's lifecycle lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from msgspec import Struct

from banger.errors import HostNotReady, NotSupported
from banger.host.attachments import AttachmentKind
from banger.host.files import ensure_private_dir
from banger.host.identity import ProcessIdentity
from banger.model.egress import Denial, Egress
from banger.model.names import VmId
from banger.model.secrets import BoundSecret
from banger.network.bridge.addresses import NETWORK, NETWORK6, Port, address6, host_address
from banger.network.bridge.process import SET_UP, claim_tap, describe_network, release_tap
from banger.network.bridge.wire import SOCKET
from banger.network.egress.control import (
    ask_denials,
    control_socket,
    set_bandwidth,
    set_policy,
)
from banger.network.egress.policy import parse_denials, render_policy
from banger.network.egress.process import (
    abandon,
    attach,
    end,
    find_egress_filter,
    set_first_policy,
    start_egress_filter,
)
from banger.network.port import Interface, StartedNetwork, format_mac

HELPER = SOCKET


class BridgeHandle(Struct, frozen=True, kw_only=True):
    """A port of the bridge that is in use; see `network.port.NetworkHandle`."""

    network: str = "bridge"
    egress_filter: ProcessIdentity
    control: str
    """Path of the filter's socket."""
    address: str
    dns: tuple[str, ...]

    @property
    def processes(self) -> tuple[ProcessIdentity, ...]:
        """The filter, which has the TAP."""
        return (self.egress_filter,)

    def plan_interface(self, vm_id: VmId) -> Interface:
        """Return the addresses that the VM has for its life."""
        return make_interface(vm_id, self.address, self.dns)

    async def set_egress(self, interface: Interface, egress: Egress) -> None:
        """Give the running filter other rules.

        Raises:
            VmmFailed: the filter does not answer.
        """
        policy = render_policy(egress, interface, dns_protocols=("udp", "tcp"), has_neighbours=True)
        await set_policy(self.control, policy)

    async def set_bandwidth(self, mib: int) -> None:
        """Give the running filter another limit."""
        await set_bandwidth(self.control, mib)

    async def set_secrets(self, bound: Sequence[BoundSecret]) -> bool:  # noqa: ARG002 - refused
        """Refuse: it reaches hosts by address."""
        raise _no_secrets()

    async def set_certificate(self, chain: bytes) -> None:  # noqa: ARG002 - refused
        """Refuse, as above."""
        raise _no_secrets()

    async def read_denials(self, interface: Interface) -> list[Denial]:
        """Return what the running filter has denied."""
        return parse_denials(await ask_denials(self.control), interface, has_neighbours=True)

    async def end(self) -> None:
        """End the filter, and with it the TAP."""
        await end(self)


def _no_secrets() -> NotSupported:
    return NotSupported(
        "Secrets need an egress profile by name, which the network bridge does not support."
    )


def make_interface(vm_id: VmId, address: str, dns: tuple[str, ...]) -> Interface:
    """Return the interface of a guest that has this address."""
    return Interface(
        mac=format_mac(vm_id),
        address=address,
        prefix=NETWORK.prefixlen,
        gateway=str(host_address(NETWORK)),
        dns=dns,
        address6=str(address6(IPv4Address(address))),
    )


async def start(
    interface: Interface,
    *,
    attachment: AttachmentKind,
    egress: Egress,
    log_file: Path,
    control: Path,
) -> StartedNetwork:
    """Join a VM to the bridge; see `network.port.Network`."""
    program = find_egress_filter()
    ensure_private_dir(log_file.parent)
    log_file.unlink(missing_ok=True)
    leaders: list[ProcessIdentity] = []
    guest, guarded = socket.socketpair()
    try:
        with guarded, control_socket(control) as listener:
            tap = await _claim(Port(interface.mac, IPv4Address(interface.address)))
            with _closing(tap):
                leaders.append(
                    start_egress_filter(
                        program,
                        guest=guarded,
                        world=tap,
                        control=listener,
                        attachment=attachment,
                        log_file=log_file,
                        network6=NETWORK6,
                    )
                )
        handle = BridgeHandle(
            egress_filter=leaders[0],
            control=os.fspath(control),
            address=interface.address,
            dns=interface.dns,
        )
        await set_first_policy(handle, interface, egress, log_file)
    except BaseException:
        guest.close()
        await asyncio.shield(abandon(*leaders))
        raise
    return StartedNetwork(handle, attach(attachment, guest))


@contextlib.contextmanager
def _closing(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)


async def _claim(port: Port) -> int:
    """Return the queue of the VM's TAP; none is left open if the caller is cancelled."""
    claim = asyncio.ensure_future(asyncio.to_thread(_claim_again, port))
    try:
        return await asyncio.shield(claim)
    except asyncio.CancelledError:
        claim.add_done_callback(_close_unless_failed)
        raise


def _close_unless_failed(claim: asyncio.Future[int]) -> None:
    if not claim.cancelled() and claim.exception() is None:
        os.close(claim.result())


def _claim_again(port: Port) -> int:
    """Claim a TAP. Whatever had the VM's address before is a leftover: rows give it to one VM."""
    if describe_network(HELPER).network != NETWORK:
        raise HostNotReady(
            f"The bridge's helper serves another network than {NETWORK}.", hint=SET_UP
        )
    release_tap(HELPER, port)
    return claim_tap(HELPER, port)
