"""The socket by which a running egress filter is told its policy (native/egress-filter/border.h).

The daemon makes it before the filter exists, so that nobody else can be asked (hazard G1); its file
is in a directory that no VMM sees (`Layout.networks`). Until its first policy has come a filter
denies everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from banger.errors import VmmFailed
from banger.host.files import ensure_private_dir
from banger.host.refusals import require_socket_path

DEADLINE_S = 10.0
LONGEST_ANSWER = 8192


@contextlib.contextmanager
def control_socket(path: Path) -> Iterator[socket.socket]:
    """A socket listening at `path` for a block; our copy is closed on leaving, the file stays.

    Raises:
        HostNotReady: the path is too long for a socket.
    """
    require_socket_path(os.fspath(path))
    ensure_private_dir(path.parent)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        os.fchmod(listener.fileno(), 0o600)  # before bind: the file takes the socket's mode
        listener.bind(os.fspath(path))
        listener.listen(8)
        yield listener


async def set_policy(path: str, policy: bytes) -> None:
    """Set a filter's policy; return when it holds.

    Raises:
        VmmFailed: the filter does not answer.
    """
    if await _ask(path, b"P" + policy) != b"P":
        raise VmmFailed("The egress filter did not accept its policy.")


async def ask_denials(path: str) -> bytes:
    """Return what a filter has denied (native/egress-filter/denials.h).

    Raises:
        VmmFailed: the filter does not answer.
    """
    answer = await _ask(path, b"L")
    if answer[:1] != b"L":
        raise VmmFailed("The egress filter did not say what it has denied.")
    return answer[1:]


async def _ask(path: str, message: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as side:
            side.setblocking(False)
            async with asyncio.timeout(DEADLINE_S):
                await loop.sock_connect(side, path)
                await loop.sock_sendall(side, message)
                return await loop.sock_recv(side, LONGEST_ANSWER)
    except TimeoutError as error:
        raise VmmFailed(f"The egress filter did not answer within {DEADLINE_S:g} s.") from error
    except OSError as error:
        raise VmmFailed(f"The egress filter cannot be reached: {error}.") from error
