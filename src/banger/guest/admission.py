"""Decide which requests to a guest may be open at once, and the order of those that wait.

Pure. An agent serves a limited number of streams. They are shared among lanes, so that no number
of forwarded connections keeps a command from starting, and neither keeps the host from flushing,
pinging or asking the guest. A request beyond its lane's share waits: first come, first served in
its lane. Nothing is lent between lanes: what a lane lends it would lack when it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from banger.guest.codec import Kind

CONTROL_SHARE = 16
"""One of so many streams is kept for what the host itself asks; at least `CONTROL_LEAST`."""
CONTROL_LEAST = 8


class Lane(StrEnum):
    """What a request is for."""

    CONTROL = "control"
    """The host's own: pings, flushes, watches, and its own programs, which are short."""
    COMMANDS = "commands"
    """Programs and copies that a user started."""
    CONNECTIONS = "connections"
    """Connections into and out of the guest."""


_LANES = {
    Kind.EXEC: Lane.COMMANDS,
    Kind.TAR_IN: Lane.COMMANDS,
    Kind.TAR_OUT: Lane.COMMANDS,
    Kind.LIST: Lane.COMMANDS,
    Kind.READ: Lane.COMMANDS,
    Kind.CHECKSUM: Lane.COMMANDS,
    Kind.PROCESSES: Lane.COMMANDS,
    Kind.CHANGES: Lane.COMMANDS,
    Kind.SFTP: Lane.COMMANDS,
    Kind.SESSION_ATTACH: Lane.COMMANDS,
    Kind.SESSION_SEND: Lane.COMMANDS,
    Kind.SESSION_WAIT: Lane.COMMANDS,
    Kind.CONNECT: Lane.CONNECTIONS,
    Kind.ACCEPT: Lane.CONNECTIONS,
    Kind.UDP: Lane.CONNECTIONS,
}


def lane_of(kind: Kind) -> Lane:
    """Return the lane of a request; a program that the host runs for itself is CONTROL."""
    return _LANES.get(kind, Lane.CONTROL)


def plan_shares(streams: int) -> dict[Lane, int]:
    """Return how many of an agent's streams each lane may use; they add up to `streams`.

    Of 2048: 128 for control, 720 for commands, 1200 for connections; of 64: 8, 21 and 35.
    """
    control = max(CONTROL_LEAST, streams // CONTROL_SHARE)
    commands = (streams - control) * 3 // 8
    return {
        Lane.CONTROL: control,
        Lane.COMMANDS: commands,
        Lane.CONNECTIONS: streams - control - commands,
    }


class Ticket:
    """A request's place in a lane: in the queue, or, once admitted, among the open ones."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.is_admitted = False


class Admission:
    """The lanes of one connection."""

    def __init__(self, shares: Mapping[Lane, int]) -> None:
        self._free = dict(shares)
        self._shares = dict(shares)
        # A dict keeps the order and forgets a ticket without a search.
        self._queues: dict[Lane, dict[Ticket, None]] = {lane: {} for lane in shares}

    def share(self, lane: Lane) -> int:
        """Return how many requests of the lane may be open."""
        return self._shares[lane]

    def join(self, lane: Lane) -> Ticket:
        """Return a new ticket: admitted if there is room, else last in the queue."""
        ticket = Ticket(lane)
        # Room and a queue do not exist together: `leave` hands what becomes free to the first.
        if self._free[lane]:
            self._free[lane] -= 1
            ticket.is_admitted = True
        else:
            self._queues[lane][ticket] = None
        return ticket

    def leave(self, ticket: Ticket) -> Ticket | None:
        """Give a ticket back, once; return the one that is admitted in its place."""
        queue = self._queues[ticket.lane]
        if not ticket.is_admitted:
            del queue[ticket]
            return None
        following = next(iter(queue), None)
        if following is None:
            self._free[ticket.lane] += 1
            return None
        del queue[following]
        following.is_admitted = True
        return following
