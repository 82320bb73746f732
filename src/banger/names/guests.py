"""Find the guest of a name: the interface of this room to the engine."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from banger.errors import BangerError, GuestRefused, VmNotFound
from banger.forwards import PortForwards
from banger.guest import GuestTcp
from banger.names.answers import Refusal
from banger.names.links import Destination, choose_web_port


@dataclass(frozen=True)
class Guest:
    """A guest that runs."""

    name: str
    ports: PortForwards


Find = Callable[[str], Awaitable[Guest]]
"""Returns the guest of a VM's name or id; raises VmNotFound, or WrongState if it does not run."""


@contextlib.asynccontextmanager
async def reach(find: Find, destination: Destination) -> AsyncIterator[GuestTcp]:
    """Connect to what a link leads to, for a block.

    Raises:
        Refusal: there is no such VM, it does not run, or nothing listens there.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            guest = await find(destination.name)
            port = _choose_port(guest, destination)
            tcp = await stack.enter_async_context(guest.ports.reach(port))
        except BangerError as error:
            raise _explain(error, destination) from error
        yield tcp


def _choose_port(guest: Guest, destination: Destination) -> int:
    port = destination.port or choose_web_port(guest.ports.guest_ports)
    if port is None:
        raise Refusal(
            502, f"No web server listens in {guest.name}.", hint=f"banger vm ports {guest.name}"
        )
    return port


def _explain(error: BangerError, destination: Destination) -> Refusal:
    """Return the answer for an error; it names nothing but what was asked for."""
    match error:
        case VmNotFound():
            return Refusal(404, error.message, hint="banger vm list")
        case GuestRefused() if error.guest_code in ("refused", "unreachable"):
            where = "its web port" if destination.port is None else f"port {destination.port}"
            return Refusal(
                502,
                f"Nothing listens on {where} of {destination.name}.",
                hint=f"banger vm ports {destination.name}",
            )
        case _:
            return Refusal(503, error.message, hint=error.hint)
