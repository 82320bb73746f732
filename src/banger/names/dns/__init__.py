"""A DNS server for the names of VMs: the zones `vm.` and that of VMs' addresses, nothing else.

`wire.py` has the format of queries and answers, `zone.py` what is answered: both pure, without I/O.
`server.py` has the sockets.
"""

from banger.names.dns.server import DnsServer
from banger.names.dns.zone import Addresses

__all__ = ["Addresses", "DnsServer"]
