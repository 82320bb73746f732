"""DNS for the names of VMs: a server for programs of this host, and a nameserver for guests.

The server knows the zones `vm.` and that of VMs' addresses, and nothing else; the nameserver passes
other queries on (`upstream.py`). `zone.py` has what is answered and does no I/O; `server.py` and
`nameserver.py` have the sockets.
"""

from banger.names.dns.nameserver import GuestNameserver
from banger.names.dns.server import DnsServer
from banger.names.dns.zone import Addresses

__all__ = ["Addresses", "DnsServer", "GuestNameserver"]
