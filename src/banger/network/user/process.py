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
import platform
import signal
import socket
from pathlib import Path

from msgspec import Struct, field

from banger.errors import HostNotReady, NotSupported, VmmFailed
from banger.host import programs
from banger.host.attachments import Attachment, AttachmentKind, Socket, Tap
from banger.host.files import ensure_private_dir
from banger.host.identity import ProcessIdentity, is_alive, send_signal, spawn_identified, wait_gone
from banger.host.setup import require_programs
from banger.model.egress import HOST, Denial, Egress
from banger.network.port import Interface, StartedNetwork
from banger.network.user.argv import plan_egress_filter
from banger.network.user.backend import Backend, abandon, read_tail
from banger.network.user.control import (
    ask_denials,
    ask_names,
    ask_proxy_denials,
    control_socket,
    set_policy,
    set_proxy_policy,
)
from banger.network.user.passt import start_passt
from banger.network.user.policy import name_denial, parse_denials, render_policy
from banger.network.user.proxy.start import Proxy, start_proxy
from banger.network.user.routes import require_route
from banger.network.user.slirp import start_slirp
from banger.network.user.tools import PASST, SLIRP

PROXY_SOCKET = "proxy.sock"
FOLDER = Path(__file__).parent.with_name("egress-filter")
TERM_DEADLINE_S = 2.0
KILL_DEADLINE_S = 10.0


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
        """The filter, the back end, its jail's monitor and its proxy."""
        monitor = () if self.monitor is None else (self.monitor,)
        proxy = () if self.proxy is None else (self.proxy.process,)
        return self.egress_filter, self.backend, *monitor, *proxy

    async def set_egress(self, interface: Interface, egress: Egress) -> None:
        """Give the running proxy and filter another policy."""
        if egress.is_by_name != (self.proxy is not None):
            raise NotSupported("A network by name and one by address are made in different ways.")
        if self.proxy is not None:
            await set_proxy_policy(self.proxy.control, egress)
        policy = render_policy(egress, interface, dns_protocols=self.dns_protocols)
        await set_policy(self._require_control(), policy)

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
                proxy = start_proxy(backend, control.with_name(PROXY_SOCKET), log_file)
                leaders.append(proxy.process)
            sockets = (guarded, backend.world, listener)
            egress_filter = _start_egress_filter(
                program, sockets, backend.lifeline, attachment=attachment, log_file=log_file
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
        await _set_first_policy(handle, interface, egress, log_file)
    except BaseException:
        guest.close()
        await asyncio.shield(abandon(*leaders))
        raise
    return StartedNetwork(handle, _attach(attachment, guest))


async def _start_backend(interface: Interface, log_file: Path, *, is_private: bool) -> Backend:
    slirp, passt = programs.find_tool(SLIRP), programs.find_tool(PASST)
    if slirp is None and passt is not None and not is_private:
        return await start_passt(interface, binary=passt, log_file=log_file)
    require_programs(SLIRP)
    return await start_slirp(
        interface, binary=slirp or SLIRP, log_file=log_file, is_private=is_private
    )


async def _set_first_policy(
    handle: UserNetworkHandle, interface: Interface, egress: Egress, log_file: Path
) -> None:
    try:
        await handle.set_egress(interface, egress)
    except VmmFailed as error:
        raise _filter_failed(error.message, log_file) from error


def _filter_failed(reason: str, log_file: Path) -> VmmFailed:
    """Return the error for a filter that does not start, such as one of another release."""
    return VmmFailed(
        "The egress filter did not start.",
        details=f"{reason}\n{read_tail(log_file)}",
        hint="pipx reinstall banger (in a checkout: scripts/venv)",
    )


def _attach(kind: AttachmentKind, guest: socket.socket) -> Attachment:
    match kind:
        case AttachmentKind.SOCKET:
            return Socket(guest)
        case AttachmentKind.TAP:
            return Tap(guest)


def find_egress_filter() -> Path:
    """Return the filter for this machine's architecture.

    Raises:
        HostNotReady: the package was built without it.
    """
    path = FOLDER / platform.machine() / "banger-egress-filter"
    if not path.exists():
        raise HostNotReady(
            f"This banger has no egress filter for {platform.machine()}.",
            hint="banger vm run --network none",
        )
    return path


def is_network_alive(handle: UserNetworkHandle) -> bool:
    """Tell whether the network still runs whole (hazards B2, B10)."""
    return all(is_alive(each) for each in handle.processes)


async def wait_network_gone(handle: UserNetworkHandle) -> None:
    """Return when all its processes have ended; they are reaped if they are our children."""
    for identity in handle.processes:
        await wait_gone(identity)


async def end(handle: UserNetworkHandle) -> None:
    """End a network whatever it does; fine if it has ended.

    Raises:
        VmmFailed: not even SIGKILL ended it.
    """
    for number, deadline_s in (
        (signal.SIGTERM, TERM_DEADLINE_S),
        (signal.SIGKILL, KILL_DEADLINE_S),
    ):
        for identity in handle.processes:
            send_signal(identity, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                await wait_network_gone(handle)
                return
    pids = ", ".join(str(each.pid) for each in handle.processes)
    raise VmmFailed(f"The network back end (pids {pids}) did not exit after SIGKILL.")


def _start_egress_filter(
    program: Path,
    sockets: tuple[socket.socket, socket.socket, socket.socket],
    lifeline: socket.socket | None,
    *,
    attachment: AttachmentKind,
    log_file: Path,
) -> ProcessIdentity:
    """Start the filter between a guest's end and the back end's; the third is for its policy."""
    numbers = [side.fileno() for side in sockets]
    guest, world, control = numbers
    argv = plan_egress_filter(
        program, guest=guest, world=world, control=control, attachment=attachment, label=log_file
    )
    if lifeline is not None:
        numbers.append(lifeline.fileno())
    identity = spawn_identified(argv, log_file=log_file, pass_fds=numbers)
    if identity is None:
        raise _filter_failed("It exited at once.", log_file)
    return identity
