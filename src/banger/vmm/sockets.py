"""Unix sockets that VMMs inherit, and connections to them.

They are bound here, before the VMM exists: nobody can connect in the moment
before their mode is set (hazard G1), and a client may connect at once and is served
when the VMM gets to it. Mode 0600 from birth, in a directory of mode 0700.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from banger.errors import DeadlineExceeded, GuestGone
from banger.host.files import ensure_private_dir
from banger.host.refusals import require_socket_path


@contextlib.contextmanager
def listening_socket(path: Path) -> Iterator[socket.socket]:
    """A socket listening at `path` for a block; our copy is closed on leaving, the file stays.

    A file that is there already is a dead VMM's, and is replaced.

    Raises:
        HostNotReady: the path is too long for a socket.
    """
    require_socket_path(os.fspath(path))
    ensure_private_dir(path.parent)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listener:
        # Before bind: the file takes the mode that the socket has.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(os.fspath(path))
        listener.listen(8)
        yield listener


async def connect_agent_socket(path: str, *, deadline_s: float) -> socket.socket:
    """Return a socket that is connected to the one for the agent; the caller closes it.

    Raises:
        GuestGone: no process listens there.
        DeadlineExceeded: the VMM has not taken the connection in time.
    """
    with contextlib.ExitStack() as on_failure:
        sock = on_failure.enter_context(socket.socket(socket.AF_UNIX))
        sock.setblocking(False)
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.get_running_loop().sock_connect(sock, path)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"Reaching the guest's agent did not finish within {deadline_s:g} s."
            ) from error
        except OSError as error:
            raise GuestGone(f"The agent's socket {path} cannot be reached: {error}.") from error
        on_failure.pop_all()
    return sock
