"""Port forwards: what listens in a guest, listening at the host too.

Owns the listening sockets of forwards and the connections that came in through them; no other
room listens for users' programs. Touches the host's loopback, and other addresses only for ports
that a user published there. Called by the engine, whose attendant of each running VM holds one
`PortForwards`; the names and the web front take `connect_guest_port`.

Planning is pure (`plan.py`: which sockets of a guest appear where); acting is apart from it:
`listening.py` opens sockets, `relay.py` passes bytes, `ports.py` keeps both as planned.

Nothing here is saved. If the process dies the kernel closes the sockets and resets connections;
the next daemon's attendants plan again from the guest's listeners and the published rows.
"""

from banger.forwards.connecting import connect_guest_port
from banger.forwards.listening import open_listener
from banger.forwards.plan import LOOPBACKS, Endpoint, Forward, plan_mirrors
from banger.forwards.ports import PortForwards, PortState

__all__ = [
    "LOOPBACKS",
    "Endpoint",
    "Forward",
    "PortForwards",
    "PortState",
    "connect_guest_port",
    "open_listener",
    "plan_mirrors",
]
