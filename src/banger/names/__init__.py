"""Names of VMs: links for browsers, a SOCKS proxy, a DNS server for programs of this host, and a
nameserver for guests.

Owns listening sockets on the host's loopback, and the connections that came in through them. Called
by the engine, one of whose loops holds `Names`; the engine says which guest a name means (`Find`)
and which address it has. Bytes go into guests through the VM's `PortForwards`.

`links.py` is pure: a link and its way back, from the Host of a request to a VM's name and a port.
`server.py` listens; `front.py` and `socks.py` serve one client each. `http1.py` and `http2.py` hold
one conversation each, and are imported when the first client comes. `dns` is the DNS server, and
the nameserver of guests, whose sockets are its network's.

Nothing here is saved. If the process dies the kernel closes the sockets and resets connections.
"""

from banger.names.dns import Addresses, GuestNameserver
from banger.names.guests import Find, Guest
from banger.names.links import choose_web_port, format_link, format_web_link, is_web_port
from banger.names.serving import Names, open_names

__all__ = [
    "Addresses",
    "Find",
    "Guest",
    "GuestNameserver",
    "Names",
    "choose_web_port",
    "format_link",
    "format_web_link",
    "is_web_port",
    "open_names",
]
