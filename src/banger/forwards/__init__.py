"""Port forwards: what listens in a guest, listening at the host too.

Owns the listening sockets of forwards and the connections that came in through them; no other
room listens for users' programs. Touches the host's loopback, and other addresses and the files of
Unix sockets only where a user published something there. Called by the engine, whose attendant of
each running VM holds one `PortForwards`; the names and the web front take `connect_guest_port`.

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
from banger.forwards.listening import close_listener, open_listener, remove_socket_file
from banger.forwards.plan import plan_mirrors
from banger.forwards.ports import PortForwards, PortState

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
    "close_listener",
    "connect_guest_port",
    "format_guest_end",
    "format_host_end",
    "open_listener",
    "parse_guest_end",
    "parse_host_end",
    "plan_mirrors",
    "remove_socket_file",
]
