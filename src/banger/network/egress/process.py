"""Start an egress filter in front of a network, and end what a network consists of.

One filter (native/egress-filter/main.c: why) for each VM, in a session of its own, so that it
outlives the daemon. Its policy is set before the VMM has its end. The filter ends when either side
of it closes. Writes the VM's network log. Takes no locks: the engine holds the VM's lifecycle lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from ipaddress import IPv6Network
from pathlib import Path

from banger.errors import NotSupported, VmmFailed
from banger.host import programs
from banger.host.attachments import Attachment, AttachmentKind, Socket, Tap
from banger.host.identity import ProcessIdentity, is_alive, send_signal, spawn_identified, wait_gone
from banger.model.egress import Egress
from banger.network.port import Interface, NetworkHandle

FOLDER = Path(__file__).parent.with_name("egress-filter")
TERM_DEADLINE_S = 2.0
KILL_DEADLINE_S = 10.0
LOG_TAIL_BYTES = 2000


def plan_egress_filter(
    program: Path,
    *,
    guest: int,
    world: int,
    control: int,
    attachment: AttachmentKind,
    label: Path,
    network6: IPv6Network | None = None,
) -> list[str]:
    """Return the filter's command; `label`, below the VM's directory, names the VM."""
    prefix = () if network6 is None else (network6.network_address.packed[:8].hex(),)
    return [str(program), attachment.value, *map(str, (guest, world, control, label)), *prefix]


def find_egress_filter() -> Path:
    """Return the filter for this machine's architecture.

    Raises:
        HostNotReady: the package was built without it.
    """
    return programs.find_packaged(
        FOLDER,
        "banger-egress-filter",
        what="egress filter",
        hint="banger vm run --network none",
    )


def start_egress_filter(
    program: Path,
    *,
    guest: socket.socket,
    world: int,
    control: socket.socket,
    attachment: AttachmentKind,
    log_file: Path,
    lifeline: socket.socket | None = None,
    network6: IPv6Network | None = None,
) -> ProcessIdentity:
    """Start the filter between a guest's end and the descriptor that leads away from it.

    It holds `lifeline` open as long as it lives. Its policy is to come. Without `network6`, of 64
    bits, it passes no IPv6.

    Raises:
        VmmFailed: it does not start.
    """
    numbers = [guest.fileno(), world, control.fileno()]
    argv = plan_egress_filter(
        program,
        guest=guest.fileno(),
        world=world,
        control=control.fileno(),
        attachment=attachment,
        label=log_file,
        network6=network6,
    )
    if lifeline is not None:
        numbers.append(lifeline.fileno())
    identity = spawn_identified(argv, log_file=log_file, pass_fds=numbers)
    if identity is None:
        raise _failed("The egress filter exited at once.", log_file)
    return identity


async def set_first_policy(
    handle: NetworkHandle, interface: Interface, egress: Egress, log_file: Path
) -> None:
    """Set the policy of a filter that was just started, and of its proxy.

    Raises:
        VmmFailed: one of them does not accept it.
    """
    try:
        await handle.set_egress(interface, egress)
        await handle.set_bandwidth(egress.bandwidth_mib)
    except (NotSupported, VmmFailed) as error:
        raise _failed(error.message, log_file) from error


def _failed(message: str, log_file: Path) -> VmmFailed:
    """Return the error for a program that does not start, such as one of another release."""
    return VmmFailed(
        message,
        details=read_tail(log_file),
        hint="pipx reinstall banger (in a checkout: scripts/venv)",
    )


def attach(kind: AttachmentKind, guest: socket.socket) -> Attachment:
    """Return what a VMM of this kind is given: the guest's end of the socket pair."""
    match kind:
        case AttachmentKind.SOCKET:
            return Socket(guest)
        case AttachmentKind.TAP:
            return Tap(guest)


async def abandon(*leaders: ProcessIdentity) -> None:
    """End children of ours that are in no handle yet, with their children."""
    for leader in leaders:
        programs.kill_group(leader.pid)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KILL_DEADLINE_S):
            for leader in leaders:
                await wait_gone(leader)


def read_tail(log_file: Path) -> str:
    """Return the end of what a network's programs said."""
    with contextlib.suppress(OSError):
        return log_file.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
    return ""


def is_network_alive(handle: NetworkHandle) -> bool:
    """Tell whether the network still runs whole (hazards B2, B10)."""
    return all(is_alive(each) for each in handle.processes)


async def wait_network_gone(handle: NetworkHandle) -> None:
    """Return when all its processes have ended; they are reaped if they are our children."""
    for identity in handle.processes:
        await wait_gone(identity)


async def end(handle: NetworkHandle) -> None:
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
