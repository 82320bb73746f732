"""The sockets by which a running egress filter and proxy are told their policy.

What is said there: native/egress-filter/border.h, proxy/__main__.py.

The daemon makes them before those exist, so that nobody else can be asked (hazard G1); their files
are in a directory that no VMM sees (`Layout.networks`). Until its first policy has come a filter
denies everything. What a proxy answers is not trusted: its guest may have taken it over (E5).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from msgspec.json import decode, encode

from banger.errors import NotSupported, VmmFailed
from banger.host.files import ensure_private_dir
from banger.host.refusals import require_socket_path
from banger.model.egress import Denial, Egress
from banger.model.secrets import BoundSecret

DEADLINE_S = 10.0
PROXY_DEADLINE_S = 60.0
"""For a proxy that has just been started, too."""
LONGEST_ANSWER, LONGEST_OF_PROXY = 8192, 262144
NOT_KNOWN = b"E"
"""The answer to a message that is not known, or whose content is not. It changes nothing."""

T = TypeVar("T")


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


async def set_bandwidth(path: str, mib: int) -> None:
    """Set how many MiB may pass a filter each way in a second; 0: any number.

    Raises:
        NotSupported: the filter is of an older banger, which knows no limit.
        VmmFailed: the filter does not answer.
    """
    answer = await _ask(path, b"R" + (mib << 20).to_bytes(8, "big"))
    if answer != b"R" and mib > 0:
        raise NotSupported(
            "An older banger started the egress filter, which cannot limit the bandwidth."
        )


async def ask_denials(path: str) -> bytes:
    """Return what a filter has denied (native/egress-filter/denials.h).

    Raises:
        VmmFailed: the filter does not answer.
    """
    answer = await _ask(path, b"L")
    if answer[:1] != b"L":
        raise VmmFailed("The egress filter did not say what it has denied.")
    return answer[1:]


async def set_proxy_policy(path: str, egress: Egress) -> None:
    """Set an egress proxy's policy; return when it holds.

    Raises:
        NotSupported: the proxy is of an older banger, which does not know all rules.
        VmmFailed: the proxy does not answer.
    """
    await _ask_proxy(path, b"P" + encode(egress))


async def set_proxy_secrets(path: str, bound: Sequence[BoundSecret]) -> bool:
    """Set what an egress proxy puts in the place of placeholders; return when it does.

    Tells whether the proxy needs another certificate; one of an older banger takes none.

    Raises:
        NotSupported: the proxy is of an older banger, which does not know these secrets.
        VmmFailed: the proxy does not answer.
    """
    return await _ask_proxy(path, b"S" + encode(bound)) == b"SC"


async def set_proxy_certificate(path: str, chain: bytes) -> None:
    """Set the key and the certificate with which an egress proxy ends TLS.

    Raises:
        VmmFailed: the proxy does not answer.
    """
    await _ask_proxy(path, b"C" + chain)


async def ask_proxy_denials(path: str) -> list[Denial]:
    """Return what a proxy has refused.

    Raises:
        NotSupported: the proxy says that an older banger started it.
        VmmFailed: the proxy does not answer, or not as it should.
    """
    return _parse(await _ask_proxy(path, b"L"), list[Denial])


async def ask_names(path: str, addresses: list[str]) -> dict[str, str | None]:
    """Return the names that addresses stand for; None: none.

    Raises:
        NotSupported: as above.
        VmmFailed: the proxy does not answer, or not as it should.
    """
    return _parse(await _ask_proxy(path, b"N" + encode(addresses)), dict[str, str | None])


def _parse(untrusted_answer: bytes, kind: type[T]) -> T:
    try:
        return decode(untrusted_answer[1:], type=kind)
    except ValueError as error:  # msgspec's, or bytes that are no UTF-8
        raise VmmFailed("The answer of the egress proxy is not valid.") from error


async def _ask_proxy(path: str, message: bytes) -> bytes:
    answer = await _ask(
        path, message, who="egress proxy", deadline_s=PROXY_DEADLINE_S, size=LONGEST_OF_PROXY
    )
    if answer == NOT_KNOWN:
        raise NotSupported("An older banger started the egress proxy, which refused the request.")
    if answer[:1] != message[:1]:
        raise VmmFailed("The egress proxy refused the request.")
    return answer


async def _ask(
    path: str,
    message: bytes,
    *,
    who: str = "egress filter",
    deadline_s: float = DEADLINE_S,
    size: int = LONGEST_ANSWER,
) -> bytes:
    loop = asyncio.get_running_loop()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as side:
            side.setblocking(False)
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_OF_PROXY)
            async with asyncio.timeout(deadline_s):
                await loop.sock_connect(side, path)
                await loop.sock_sendall(side, message)
                return await loop.sock_recv(side, size)
    except TimeoutError as error:
        raise VmmFailed(f"The {who} did not answer within {deadline_s:g} s.") from error
    except OSError as error:
        raise VmmFailed(f"The {who} cannot be reached: {error}.") from error
