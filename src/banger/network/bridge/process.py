"""Ask the helper for a VM's TAP, or for the sockets of the guests' nameserver.

Called by the daemon; blocks, so from a thread.

Takes no locks. A descriptor that was received is the caller's; if the daemon dies before it has
passed it on, the TAP is gone.
"""

from __future__ import annotations

import os
import socket

from banger.errors import HostNotReady, VmmFailed
from banger.network.bridge.addresses import Port
from banger.network.bridge.firewalls import Firewall
from banger.network.bridge.wire import (
    DONE,
    LONGEST,
    VERSION,
    Description,
    Refusal,
    Verb,
    find_refusal,
    parse_description,
    parse_firewall,
    render_request,
)

SET_UP = "banger setup --bridge"
LOG = "journalctl -u banger-bridge"
DEADLINE_S = 60.0
"""The helper answers one after the other, each with some programs of the host."""


def describe_network(path: str) -> Description:
    """Return what the helper at this path serves.

    Raises:
        HostNotReady: there is none (`retryable`: one may be starting), it serves another user, is
            of another release, or has no bridge on this kernel.
    """
    answer, _ = _ask(path, Verb.DESCRIBE)
    try:
        description = parse_description(answer)
    except ValueError as error:
        raise _of_another_release() from error
    if description.version != VERSION:
        raise _of_another_release()
    return description


def find_firewall(path: str) -> Firewall:
    """Return whose rules drop what the bridge's guests send.

    Raises:
        HostNotReady, VmmFailed: as below.
    """
    answer, _ = _ask(path, Verb.FIND_FIREWALL)
    try:
        return parse_firewall(answer)
    except ValueError as error:
        raise _of_another_release() from error


def claim_tap(path: str, port: Port) -> int:
    """Return the queue of a new TAP of the bridge: each read and write is one frame.

    Raises:
        HostNotReady: as above.
        VmmFailed: the address is taken, or the helper failed.
    """
    answer, fds = _ask(path, Verb.CLAIM, port)
    if answer != DONE or len(fds) != 1:
        for fd in fds:
            os.close(fd)
        raise _of_another_release()
    return fds[0]


def open_nameserver(path: str) -> tuple[socket.socket, socket.socket]:
    """Return the sockets of UDP and TCP at which guests ask; the caller closes them.

    Raises:
        HostNotReady, VmmFailed: as above.
    """
    answer, fds = _ask(path, Verb.NAMESERVER)
    if answer != DONE or len(fds) != 2:
        for fd in fds:
            os.close(fd)
        raise _of_another_release()
    udp, tcp = (socket.socket(fileno=fd) for fd in fds)
    for each in (udp, tcp):
        each.setblocking(False)
    return udp, tcp


def release_tap(path: str, port: Port) -> None:
    """Remove what has a VM's address, whoever has it open; fine if nothing has.

    Raises:
        HostNotReady, VmmFailed: as above.
    """
    _ask(path, Verb.RELEASE, port)


def _ask(path: str, verb: Verb, port: Port | None = None) -> tuple[bytes, list[int]]:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as side:
            side.settimeout(DEADLINE_S)
            side.connect(path)
            side.sendall(render_request(verb, port))
            answer, fds, _, _ = socket.recv_fds(side, LONGEST, 2, socket.MSG_CMSG_CLOEXEC)
    except OSError as error:
        raise HostNotReady(
            f"The bridge's helper cannot be reached: {error}.", hint=SET_UP, retryable=True
        ) from error
    if not answer:
        raise HostNotReady(
            "The bridge's helper ended before it answered.", hint=LOG, retryable=True
        )
    _check(answer, port)
    return answer, fds


def _check(answer: bytes, port: Port | None) -> None:
    try:
        why = find_refusal(answer)
    except ValueError as error:
        raise _of_another_release() from error
    match why:
        case None:
            return
        case Refusal.NOT_YOU:
            raise HostNotReady(
                "The bridge network of this host belongs to another user.", hint="--network user"
            )
        case Refusal.TAKEN:
            assert port is not None, "nothing else is taken"
            raise VmmFailed(
                f"Another device of this host has the address {port.address}.",
                hint=f"ip link show {port.name}",
            )
        case Refusal.NO_COUNTING:
            raise HostNotReady(
                "The kernel of this host lacks the module nft_connlimit, by which the bridge's "
                "rules count a VM's connections.",
                hint="sudo modprobe nft_connlimit && sudo systemctl restart banger-bridge",
            )
        case Refusal.NO_REQUEST:
            raise _of_another_release()
        case Refusal.FAILED:
            raise VmmFailed("The bridge's helper failed; its log says why.", hint=LOG)


def _of_another_release() -> HostNotReady:
    return HostNotReady("The bridge's helper is from another release of banger.", hint=SET_UP)
