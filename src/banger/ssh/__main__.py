"""`python -m banger.ssh --listener FD --daemon FD`: the ssh front's process.

`--listener`: the listening socket. `--daemon`: a socket whose other end the
daemon holds open while it lives.
Started by `daemon.sshfront`, whose process state it inherits (`daemon.ownstate`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys

from banger.layout import layout_from_environment
from banger.ssh.front import Front
from banger.ssh.keys import ensure_host_key


async def serve(listener_fd: int, daemon_fd: int) -> None:
    """Serve until the daemon has ended, or until the front was idle for long."""
    layout = layout_from_environment(os.environ)
    ending = asyncio.Event()
    # Nothing is ever written: it becomes readable by its end.
    asyncio.get_running_loop().add_reader(daemon_fd, ending.set)
    front = Front(layout.daemon_socket_name, ensure_host_key(layout), owner_uid=os.getuid())
    with socket.socket(fileno=listener_fd) as listener:
        await front.run(listener, ending)


def main(arguments: list[str]) -> int:
    """Run the front; return the exit status."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    match arguments:
        case ["--listener", listener, "--daemon", daemon] if (
            listener.isdecimal() and daemon.isdecimal()
        ):
            asyncio.run(serve(int(listener), int(daemon)))
            return 0
        case _:
            sys.stderr.write("usage: python -m banger.ssh --listener FD --daemon FD\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
