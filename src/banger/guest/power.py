"""Is it alive, is its data on the disk, turn it off: PING, SYNC, POWEROFF. Owns nothing."""

from __future__ import annotations

from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.fields import Tag, encode_fields, u64
from banger.guest.stream import Request

NOW_FLAG = 1


async def ping(connection: GuestConnection, *, deadline_s: float) -> int | None:
    """Return the guest's CLOCK_REALTIME in ns when the agent has answered; None: it is an old one.

    What the guest says is any number of 64 bits.
    """
    request = Request(Kind.PING, "pinging the guest")
    answer = await connection.ask(request, deadline_s=deadline_s)
    return answer.find_i64(Tag.CLOCK_NS)


async def sync(connection: GuestConnection, *, deadline_s: float) -> None:
    """Return when everything that was written in the guest is in the host's files (hazard A1)."""
    what = "flushing the guest's file systems"
    await connection.ask(Request(Kind.SYNC, what), deadline_s=deadline_s)


async def poweroff(connection: GuestConnection, *, deadline_s: float, now: bool = False) -> None:
    """Ask the guest's init to power off, or, `now`, sync and power off without it.

    Returns when the agent has taken the request; the VMM ends later (hazard A2: the
    caller waits for that with a deadline).
    """
    fields = encode_fields([(Tag.FLAGS, u64(NOW_FLAG if now else 0))])
    request = Request(Kind.POWEROFF, "powering the guest off", fields)
    await connection.ask(request, deadline_s=deadline_s)
