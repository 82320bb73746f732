"""User networking: outgoing traffic for one VM, without privilege, and no way in.

    VMM == socket pair == egress filter == socket pair == passt -- the host's sockets
    VMM == TAP == packet socket == egress filter == socket pair == passt -- the host's sockets

With a TAP the filter's socket pair carries one message, the packet socket, and shows when the VMM
has ended (ADR 0074). One passt and one egress filter (native/egress-filter/main.c: why) for each
VM, in sessions of their own, so that they outlive the daemon. Both end by themselves when the
stream in front of them ends: with the VMM, or with a daemon that dies before the VMM has its
socket.
There is no socket file, so there is nothing to connect to, to race for or to remove.

Writes the VM's network log. Takes no locks: the engine holds the VM's lifecycle lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field

from banger.errors import BangerError, HostNotReady, VmmFailed
from banger.host import programs
from banger.host.attachments import Attachment, AttachmentKind, Socket, Tap
from banger.host.files import ensure_private_dir
from banger.host.identity import ProcessIdentity, is_alive, send_signal, spawn_identified, wait_gone
from banger.host.setup import require_programs
from banger.network.port import Interface, StartedNetwork
from banger.network.user.argv import plan_egress_filter, plan_passt
from banger.network.user.probe import knock
from banger.network.user.routes import NO_DEFAULT_ROUTE, refuse_without_route, require_route

FOLDER = Path(__file__).parent.with_name("egress-filter")
READY_DEADLINE_S = 10.0
TERM_DEADLINE_S = 2.0
KILL_DEADLINE_S = 10.0
LOG_TAIL_BYTES = 2000
SEND_BUFFER_BYTES = 4 * 1024 * 1024


class UserNetworkHandle(Struct, frozen=True, kw_only=True):
    """A user network that was started; see `network.port.NetworkHandle`."""

    network: str = "user"
    egress_filter: ProcessIdentity = field(name="guard")  # its name in rows of older releases
    passt: ProcessIdentity

    @property
    def processes(self) -> tuple[ProcessIdentity, ...]:
        """The filter and passt."""
        return self.egress_filter, self.passt

    async def end(self) -> None:
        """End both processes."""
        await end(self)


async def start(
    interface: Interface, *, attachment: AttachmentKind, log_file: Path
) -> StartedNetwork:
    """Start a VM's network and return when it answers.

    Raises:
        ToolMissing: passt is not installed.
        HostNotReady: the host itself has no network, or banger was built without the filter.
        VmmFailed: passt does not start.
    """
    program = find_egress_filter()
    require_route()
    ensure_private_dir(log_file.parent)
    log_file.unlink(missing_ok=True)
    passt, world = await _start_passt(interface, log_file)
    with world:
        guest, guarded = socket.socketpair()
        with guarded:
            try:
                egress_filter = _start_egress_filter(
                    program, guarded, world, attachment=attachment, log_file=log_file
                )
                handle = UserNetworkHandle(egress_filter=egress_filter, passt=passt)
            except BaseException:
                guest.close()
                await asyncio.shield(_abandon(passt))
                raise
    return StartedNetwork(handle, _attach(attachment, guest))


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
    return is_alive(handle.egress_filter) and is_alive(handle.passt)


async def wait_network_gone(handle: UserNetworkHandle) -> None:
    """Return when both processes have ended; they are reaped if they are our children."""
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
    raise VmmFailed(
        f"The network back end (pids {handle.egress_filter.pid}, {handle.passt.pid}) did not "
        "exit after SIGKILL."
    )


async def _start_passt(
    interface: Interface, log_file: Path
) -> tuple[ProcessIdentity, socket.socket]:
    """Start passt; return it and our end of its stream when it has answered."""
    require_programs("passt")
    binary = programs.find_tool("passt") or "passt"
    ours, theirs = socket.socketpair()
    # As much as the host allows: passt drops what does not fit (native/egress-filter/backlog.h).
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    with theirs:
        argv = plan_passt(interface, binary=binary, descriptor=theirs.fileno(), log_file=log_file)
        identity = _spawn(argv, log_file=log_file, inherited=(theirs.fileno(),))
    try:
        await _wait_answer(ours, interface, log_file)
    except BaseException:
        ours.close()
        await asyncio.shield(_abandon(identity))
        raise
    ours.setblocking(True)
    return identity, ours


async def _abandon(passt: ProcessIdentity) -> None:
    """End a passt that is in no handle yet."""
    send_signal(passt, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KILL_DEADLINE_S):
            await wait_gone(passt)


async def _wait_answer(side: socket.socket, interface: Interface, log_file: Path) -> None:
    side.setblocking(False)
    try:
        async with asyncio.timeout(READY_DEADLINE_S):
            await knock(side, interface)
    except TimeoutError as error:
        raise VmmFailed(
            f"passt did not answer within {READY_DEADLINE_S:g} s.", details=_tail(log_file)
        ) from error
    except (EOFError, OSError) as error:
        raise _early_death(log_file) from error


def _start_egress_filter(
    program: Path,
    guarded: socket.socket,
    world: socket.socket,
    *,
    attachment: AttachmentKind,
    log_file: Path,
) -> ProcessIdentity:
    argv = plan_egress_filter(
        program,
        guest=guarded.fileno(),
        world=world.fileno(),
        attachment=attachment,
        label=log_file,
    )
    return _spawn(argv, log_file=log_file, inherited=(guarded.fileno(), world.fileno()))


def _spawn(argv: Sequence[str], *, log_file: Path, inherited: Sequence[int]) -> ProcessIdentity:
    identity = spawn_identified(argv, log_file=log_file, pass_fds=inherited)
    if identity is None:
        raise _early_death(log_file)
    return identity


def _early_death(log_file: Path) -> BangerError:
    said = _tail(log_file)
    if NO_DEFAULT_ROUTE in said:
        return refuse_without_route(said)
    return VmmFailed("The network back end exited right after its start.", details=said)


def _tail(log_file: Path) -> str:
    with contextlib.suppress(OSError):
        return log_file.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
    return ""
