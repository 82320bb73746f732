"""The egress proxy: a guest's connections by name pass through it.

    guest == egress filter == slirp4netns, where no way leads out -- this process -- the host

Run as `python -m banger.network.user.proxy SOCKETS-FD PIDFD CONTROL-FD LABEL`, one for each VM
whose policy is by name, from before its VMM starts until the process of PIDFD, its back end, ends.
LABEL names the VM in the process list. The back end's connections have nowhere to go but to
sockets in its own namespace, which are ours, and come by SOCKETS-FD (namespace.py). It is the
guest's nameserver there (resolver.py), and connects by name, from the host's own network, to what
is allowed (targets.py, flows.py). If it dies, nothing leaves any more.

It is process 1 of a jail (view.py): it parses what a hostile guest sends. It has joined the back
end's user namespace, in which it keeps the one capability to bind ports below 1024 of the sockets.

CONTROL-FD is a listening socket of whole messages, as the egress filter's is: `P` and a policy, in
JSON, sets that and ends the connections that are no longer allowed; `S` and secrets sets those,
with their values, and is answered by `SC` if there is no certificate for one of their hosts; `C`
with names, a key and a certificate (tls.py) sets that, by way of a file in the jail's memory; `L`
asks for what was refused, `N` and addresses for their names. The answer begins with the message's
letter, or is `E` (not known) or `F` (failed). Until the first policy has come everything is
refused. Owns its sockets; writes to stderr; holds no other file.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys

from banger.network.user.proxy.server import Server, run

SOCKETS_MAX = 253
"""That one message carries (unix(7))."""
MEMORY_BYTES = 1 << 29
"""Of data; what is on its way through all flows takes an eighth of it."""
FILE_BYTES = 1 << 24
"""Of the network log, and of the file of the certificate."""


def main() -> None:
    """Serve until the back end ends."""
    handed, inside, control = map(int, sys.argv[1:4])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    with socket.socket(fileno=handed) as side:
        numbers = socket.recv_fds(side, 1, SOCKETS_MAX)[1]
    datagrams, *streams = (socket.socket(fileno=number) for number in numbers)
    server = Server(socket.socket(fileno=control), datagrams, streams)
    asyncio.run(_serve(server, inside))


async def _serve(server: Server, inside: int) -> None:
    await run(server, inside)
    os._exit(0)  # a look-up under way is not waited for


if __name__ == "__main__":
    main()
