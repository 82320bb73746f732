"""Refuse what the agent of an older banger cannot carry, before a client connects.

Asks the agent in a way that nothing in the guest notices: a conversation in which nothing is said,
and a connection to a path that is no socket.
"""

from __future__ import annotations

from typing import Literal

from banger.errors import BangerError, GuestRefused
from banger.forwards.ends import GuestEnd, GuestSocket
from banger.guest import GuestConnection, connect_unix, open_udp

ANSWER_S = 5.0
"""For the agent's answer."""
NO_SOCKET = b"/"
DISCARD = 9
Ability = Literal["udp", "unix"]


def needed_ability(end: GuestEnd) -> Ability | None:
    """Return what an end of a forward needs of an agent; None: what all agents do. Pure."""
    if isinstance(end, GuestSocket):
        return "unix"
    return "udp" if end.protocol == "udp" else None


async def find_lack(connection: GuestConnection, ability: Ability) -> BangerError | None:
    """Return the refusal that says what the agent is too old for; None: it is able.

    Raises:
        BangerError: the guest does not answer; a guest that is paused does not.
    """
    try:
        if ability == "udp":
            (await open_udp(connection, None, DISCARD, deadline_s=ANSWER_S)).close()
        else:
            async with await connect_unix(connection, NO_SOCKET, deadline_s=ANSWER_S):
                pass
    except GuestRefused as error:
        return error if error.guest_code == "bad-request" else None
    return None
