"""Port forwards: sockets of the host that lead to listening sockets of guests.

Owns the listening sockets of forwards and the connections that came in through them; of the other
rooms only `names` listens for users' programs. Touches the host's loopback, and other addresses and
the files of Unix sockets only where a user published something there. Called by the engine, whose
attendant of each running VM holds one `PortForwards`, and by `names`, which reaches guests by it.

Planning is pure (`ends.py`, `plan.py`: which sockets of a guest appear where); acting is apart from
it: `listening.py` opens sockets, `relay.py` passes bytes and `datagrams.py` datagrams, `ports.py`
keeps all of them as planned.

Nothing here is saved. If the process dies the kernel closes the sockets and resets connections;
the next daemon's attendants plan again from the guest's listeners and the published rows.
"""

from banger.forwards.connecting import connect_guest_port
from banger.forwards.ends import (
    LOOPBACKS,
    Endpoint,
    Forward,
    GuestEnd,
    GuestPort,
    GuestSocket,
    HostEnd,
    SocketPath,
    format_guest_end,
    format_host_end,
    parse_guest_end,
    parse_host_end,
)
from banger.forwards.listening import accept, close_listener, open_listener, remove_socket_file
from banger.forwards.plan import plan_mirrors
from banger.forwards.ports import PortForwards, PortState
from banger.forwards.relay import relay, reset_when_closed

__all__ = [
    "LOOPBACKS",
    "Endpoint",
    "Forward",
    "GuestEnd",
    "GuestPort",
    "GuestSocket",
    "HostEnd",
    "PortForwards",
    "PortState",
    "SocketPath",
    "accept",
    "close_listener",
    "connect_guest_port",
    "format_guest_end",
    "format_host_end",
    "open_listener",
    "parse_guest_end",
    "parse_host_end",
    "plan_mirrors",
    "relay",
    "remove_socket_file",
    "reset_when_closed",
]
