"""User networking: outgoing traffic for one VM, without privilege, and no way in.

    VMM == socket pair == egress filter == socket == back end -- the host's sockets
    VMM == TAP == a second TAP's queue == egress filter == socket == back end -- the host's sockets

With a TAP the filter's socket pair carries one message, the queue, and shows when the VMM has
ended (ADR 0074). One back end and one egress filter (native/egress-filter/main.c: why) for each
VM, in sessions of their own, so that they outlive the daemon. The filter's policy is set before
the VMM has its end, and can be changed later (control.py, ADR 0095). Both end by themselves when
the socket in front of them ends: with the VMM, or with a daemon that dies before the VMM has its
socket. Nobody else can connect to any of them.

The back end is slirp4netns, or passt where that is not installed (ADR 0076).

Writes the VM's network log. Takes no locks: the engine holds the VM's lifecycle lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field

from banger.errors import NotSupported
from banger.host import programs
from banger.host.attachments import AttachmentKind
from banger.host.files import ensure_private_dir
from banger.host.identity import ProcessIdentity
from banger.host.setup import require_programs
from banger.model.egress import HOST, Denial, Egress
from banger.model.names import VmId
from banger.model.secrets import BoundSecret
from banger.network.egress.control import (
    ask_denials,
    ask_names,
    ask_proxy_denials,
    control_socket,
    set_bandwidth,
    set_policy,
    set_proxy_certificate,
    set_proxy_policy,
    set_proxy_secrets,
)
from banger.network.egress.policy import name_denial, parse_denials, render_policy
from banger.network.egress.process import (
    abandon,
    attach,
    end,
    find_egress_filter,
    set_first_policy,
    start_egress_filter,
)
from banger.network.port import Interface, StartedNetwork
from banger.network.user.addresses import plan_interface
from banger.network.user.backend import Backend
from banger.network.user.passt import start_passt
from banger.network.user.proxy.start import Proxy, start_proxy
from banger.network.user.routes import require_route
from banger.network.user.slirp import start_slirp
from banger.network.user.tools import PASST, SLIRP

PROXY_SOCKET = "proxy.sock"


class UserNetworkHandle(Struct, frozen=True, kw_only=True):
    """A user network that was started; see `network.port.NetworkHandle`."""

    network: str = "user"
    egress_filter: ProcessIdentity = field(name="guard")  # its name in rows of older releases
    backend: ProcessIdentity = field(name="passt")  # as above: there was no other
    monitor: ProcessIdentity | None = None
    """The jail's of the back end, if it has one."""
    control: str | None = None
    """Path of the filter's socket; None: the filter is an older banger's, and has none."""
    dns_protocols: tuple[str, ...] = ("udp",)
    """Of which the back end sends queries to the host's resolver."""
    proxy: Proxy | None = None
    """Of a policy by name."""

    @property
    def processes(self) -> tuple[ProcessIdentity, ...]:
        """The filter, the back end, the proxy, and their jails' monitors."""
        monitor = () if self.monitor is None else (self.monitor,)
        proxy = () if self.proxy is None else self.proxy.processes
        return self.egress_filter, self.backend, *monitor, *proxy

    def plan_interface(self, vm_id: VmId) -> Interface:
        """Return the addresses that every VM has."""
        return plan_interface(vm_id)

    async def set_egress(self, interface: Interface, egress: Egress) -> None:
        """Give the running proxy and filter other rules."""
        if egress.is_by_name != (self.proxy is not None):
            raise NotSupported(
                "A running network cannot change between egress by name and by address."
            )
        if self.proxy is not None:
            await set_proxy_policy(self.proxy.control, egress)
        policy = render_policy(egress, interface, dns_protocols=self.dns_protocols)
        await set_policy(self._require_control(), policy)

    async def set_bandwidth(self, mib: int) -> None:
        """Give the running filter another limit."""
        await set_bandwidth(self._require_control(), mib)

    async def set_secrets(self, bound: Sequence[BoundSecret]) -> bool:
        """Give the running proxy the VM's secrets."""
        return await set_proxy_secrets(self._require_proxy().control, bound)

    async def set_certificate(self, chain: bytes) -> None:
        """Give the running proxy its key and certificate."""
        await set_proxy_certificate(self._require_proxy().control, chain)

    async def read_denials(self, interface: Interface) -> list[Denial]:
        """Return what the running filter and proxy have denied."""
        denials = parse_denials(await ask_denials(self._require_control()), interface)
        if self.proxy is None:
            return denials
        addresses = sorted({each.target.partition(":")[0] for each in denials})
        names = await ask_names(self.proxy.control, [each for each in addresses if each != HOST])
        return [
            *(name_denial(each, names) for each in denials),
            *await ask_proxy_denials(self.proxy.control),
        ]

    def _require_proxy(self) -> Proxy:
        if self.proxy is None:
            raise NotSupported("Secrets need an egress profile by name.")
        return self.proxy

    def _require_control(self) -> str:
        if self.control is None:
            raise NotSupported("An older banger started this network, without an egress policy.")
        return self.control

    async def end(self) -> None:
        """End all of them."""
        await end(self)


async def start(
    interface: Interface,
    *,
    attachment: AttachmentKind,
    egress: Egress,
    log_file: Path,
    control: Path,
) -> StartedNetwork:
    """Start a VM's network and return when it answers and its egress policy holds.

    Raises:
        ToolMissing: no back end is installed.
        HostNotReady: the host itself has no network, or banger was built without the filter.
        VmmFailed: the back end or the filter does not start.
    """
    program = find_egress_filter()
    require_route()
    ensure_private_dir(log_file.parent)
    log_file.unlink(missing_ok=True)
    is_by_name = egress.is_by_name
    backend = await _start_backend(interface, log_file, is_private=is_by_name)
    leaders = [backend.monitor or backend.process]
    guest, guarded = socket.socketpair()
    try:
        proxy = None
        with contextlib.closing(backend), guarded, control_socket(control) as listener:
            if is_by_name:
                at = control.with_name(PROXY_SOCKET)
                proxy = await start_proxy(backend, at, log_file)
                leaders.append(proxy.monitor or proxy.process)
            egress_filter = start_egress_filter(
                program,
                guest=guarded,
                world=backend.world.fileno(),
                control=listener,
                attachment=attachment,
                log_file=log_file,
                lifeline=backend.lifeline,
            )
        leaders.append(egress_filter)
        handle = UserNetworkHandle(
            egress_filter=egress_filter,
            backend=backend.process,
            monitor=backend.monitor,
            control=os.fspath(control),
            dns_protocols=backend.dns_protocols,
            proxy=proxy,
        )
        await set_first_policy(handle, interface, egress, log_file)
    except BaseException:
        guest.close()
        await asyncio.shield(abandon(*leaders))
        raise
    return StartedNetwork(handle, attach(attachment, guest))


async def _start_backend(interface: Interface, log_file: Path, *, is_private: bool) -> Backend:
    slirp, passt = programs.find_tool(SLIRP), programs.find_tool(PASST)
    if slirp is None and passt is not None and not is_private:
        return await start_passt(interface, binary=passt, log_file=log_file)
    require_programs(SLIRP)
    return await start_slirp(
        interface, binary=slirp or SLIRP, log_file=log_file, is_private=is_private
    )
