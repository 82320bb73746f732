"""Ping a guest, flush its data, power it off: PING, SYNC, POWEROFF. Owns nothing."""

from __future__ import annotations

from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.fields import Tag, encode_fields, u64
from banger.guest.stream import Request

NOW_FLAG = 1


async def ping(connection: GuestConnection, *, deadline_s: float) -> int | None:
    """Return the guest's CLOCK_REALTIME in ns; None if the agent is too old to report it.

    Do not trust the value: the guest may send any 64-bit number.
    """
    request = Request(Kind.PING, "pinging the guest")
    answer = await connection.ask(request, deadline_s=deadline_s)
    return answer.find_i64(Tag.CLOCK_NS)


async def sync(connection: GuestConnection, *, deadline_s: float) -> None:
    """Flush the guest: return when all its writes are in the host's files (hazard A1)."""
    what = "flushing the guest's file systems"
    await connection.ask(Request(Kind.SYNC, what), deadline_s=deadline_s)


async def poweroff(connection: GuestConnection, *, deadline_s: float, now: bool = False) -> None:
    """Ask the guest's init to power off; with `now`, sync and power off without init.

    Returns when the agent has accepted the request. The VMM ends later (hazard A2: the caller
    waits for its end with a deadline).
    """
    fields = encode_fields([(Tag.FLAGS, u64(NOW_FLAG if now else 0))])
    request = Request(Kind.POWEROFF, "powering the guest off", fields)
    await connection.ask(request, deadline_s=deadline_s)
