"""Names of VMs for programs of this host: one HTTP front for the links of all VMs.

Owns the front's listening sockets on the host's loopback, and the connections that came in
through them. Called by the engine, one of whose loops holds an `HttpFront`; the engine says which
guest a name means (`Find`). Bytes go into guests through the VM's `PortForwards`.

`links.py` is pure: a link and its way back, from the Host of a request to a VM's name and a port.
`http1.py` and `http2.py` hold one conversation each, and are imported when the first client comes.

Nothing here is saved. If the process dies the kernel closes the sockets and resets connections.
"""

from banger.names.front import HttpFront
from banger.names.guests import Find, Guest
from banger.names.links import choose_web_port, format_link, format_web_link, is_web_port

__all__ = [
    "Find",
    "Guest",
    "HttpFront",
    "choose_web_port",
    "format_link",
    "format_web_link",
    "is_web_port",
]
