"""The egress proxy: what a guest reaches by name, it reaches through here.

    guest == egress filter == slirp4netns, where no way leads out -- this process -- the host

Run as `python -m banger.network.user.proxy PIDFD CONTROL-FD LABEL`, one for each VM whose policy is
by name, from before its VMM starts until the process of PIDFD, its back end, ends. LABEL names the
VM in the process list. The back end's connections have nowhere to go but to sockets that this
process has in the back end's namespace (namespace.py). It is the guest's nameserver there
(resolver.py), and connects by name, from the host's own network, to what is allowed (targets.py,
flows.py). If it dies, nothing leaves any more.

CONTROL-FD is a listening socket of whole messages, as the egress filter's is: `P` and a policy, in
JSON, sets that and ends the connections that are no longer allowed; `L` asks for what was
refused, `N` and addresses for their names. Until the first policy has come everything is refused.
Owns its sockets; writes to stderr; holds no file.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys

from banger.network.user.proxy.namespace import open_sockets
from banger.network.user.proxy.server import STREAMS, Server, run


def main() -> None:
    """Serve until the back end ends."""
    inside, control = (int(word) for word in sys.argv[1:3])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    datagrams, streams = open_sockets(inside, streams=STREAMS)
    server = Server(socket.socket(fileno=control), datagrams, streams)
    asyncio.run(_serve(server, inside))


async def _serve(server: Server, inside: int) -> None:
    await run(server, inside)
    os._exit(0)  # a look-up under way is not waited for


if __name__ == "__main__":
    main()
