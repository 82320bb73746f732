"""The program with CAP_NET_ADMIN that makes the bridge and its TAPs for one user (hazard G5).

Run as root, by its unit or by hand:

    python3 -m banger.network.bridge.server --socket PATH --user UID --network 10.77.0.0/16

Owns the socket at PATH, the bridge, the rules, and the sockets to which guests' queries for names
are redirected, of which the user's daemon gets copies; takes no lock, since one request is done
after the other; writes no file. Only UID is served, whoever can connect (SO_PEERCRED). Requests
have a fixed form and name no device, path or process (`wire`). Standard library only, so that what
runs with privilege is seven small modules.

If it dies: a TAP that was not handed over goes with it, and VMs go on with theirs, and with their
rules. The next one finds all ports in the kernel. A port's rules are there before it is up, and
those of a port that is gone speak of no device until the next claim.

On a kernel that lacks what the rules need it makes no bridge, and answers that.

With `--remove` it removes the bridge, the ports and the rules instead, and ends.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network

from banger.network.bridge.addresses import (
    DNS_SOCKETS,
    NETWORK,
    Port,
    host_address,
    parse_network,
)
from banger.network.bridge.firewalls import find_firewall
from banger.network.bridge.links import (
    add_port,
    ensure_bridge,
    is_ip6_bridged,
    lacks_counting,
    list_rules,
    open_tap,
    remove_bridge,
    remove_port,
)
from banger.network.bridge.wire import (
    DONE,
    LONGEST,
    SOCKET,
    Refusal,
    Verb,
    parse_request,
    render_description,
    render_refusal,
)

_FREEBIND = 15  # IP_FREEBIND of ip(7)
SLOWEST_CLIENT_S = 5.0
"""A client that connects and says nothing holds up its own user only."""

log = logging.getLogger("banger-bridge")


@dataclass(frozen=True)
class Served:
    """Whom a helper serves, and with what."""

    uid: int
    network: IPv4Network
    make_device: Callable[[str], int] = open_tap
    nameserver: tuple[socket.socket, ...] = ()
    """Of UDP and TCP. Queries wait in them while no daemon runs."""
    obstacle: Refusal | None = None
    """Why there is no bridge: the answer to every request."""


def open_listener(path: str, uid: int) -> socket.socket:
    """Listen at a path that only this user can connect to."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.fchmod(listener.fileno(), 0o600)  # before bind: the file takes the socket's mode
    if os.path.lexists(path):
        os.unlink(path)
    listener.bind(path)
    os.chown(path, uid, -1)
    listener.listen(64)
    return listener


def open_nameserver(network: IPv4Network) -> tuple[socket.socket, ...]:
    """Hold the port to which the rules redirect guests' queries, also before it has its address.

    So no program of another user's can have it. The sockets of a helper that has ended, which a
    daemon may still read, keep it from nobody of the same user as this program.
    """
    address = (str(host_address(network)), DNS_SOCKETS)
    sockets = tuple(
        socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    )
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        each.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
        each.bind(address)
    sockets[1].listen(64)
    return sockets


def serve(listener: socket.socket, served: Served) -> None:
    """Answer one request after the other, for ever."""
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.settimeout(SLOWEST_CLIENT_S)
                answer_one(connection, served)
            except OSError as error:  # the client's: it has gone, or says nothing
                log.info("%s", error)


def answer_one(connection: socket.socket, served: Served) -> None:
    """Answer the request of a connection.

    Raises:
        OSError: the connection does not carry it.
    """
    # Without room for descriptors: the kernel closes those that somebody sends.
    untrusted_message = connection.recv(LONGEST)
    refusal = served.obstacle if _read_uid(connection) == served.uid else Refusal.NOT_YOU
    if refusal is not None:
        connection.sendall(render_refusal(refusal))
        return
    fds: list[int] = []
    try:
        answer = _do(untrusted_message, served, fds)
        socket.send_fds(connection, [answer], fds)
    finally:
        for fd in fds:
            os.close(fd)


def _do(untrusted_message: bytes, served: Served, fds: list[int]) -> bytes:
    """Do what is asked for and return the answer; a descriptor for it is added to `fds`."""
    try:
        verb, port = parse_request(untrusted_message, served.network)
    except ValueError as error:
        log.info("a request of %d bytes: %s", len(untrusted_message), error)
        return render_refusal(Refusal.NO_REQUEST)
    try:
        if verb is Verb.FIND_FIREWALL:
            found = find_firewall(list_rules(), is_ip6_bridged=is_ip6_bridged())
            return DONE + found.value
        if verb is Verb.NAMESERVER:
            fds += [os.dup(each.fileno()) for each in served.nameserver]
        elif port is None:
            return render_description(served.network)
        elif verb is Verb.RELEASE:
            remove_port(port)
        else:
            _claim(port, served, fds)
    except FileExistsError:
        return render_refusal(Refusal.TAKEN)
    except (OSError, ValueError) as error:  # a program of the host failed, or says what is none
        log.error("%s of %s: %s", verb.name, port, error)
        return render_refusal(Refusal.FAILED)
    return DONE


def _claim(port: Port, served: Served, fds: list[int]) -> None:
    fds.append(served.make_device(port.name))
    try:
        add_port(port, served.network)
    except BaseException:
        os.close(fds.pop())
        raise


def _read_uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _, uid, _ = struct.unpack("iii", credentials)
    return int(uid)


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's values; ends the program if they are none."""
    parser = argparse.ArgumentParser(prog="banger-bridge")
    parser.add_argument("--socket", default=SOCKET)
    parser.add_argument("--user", type=int, required=True, metavar="UID")
    parser.add_argument("--network", type=parse_network, default=NETWORK)
    parser.add_argument("--remove", action="store_true")
    return parser.parse_args(words)


def main() -> None:
    """Serve the user, or remove everything."""
    logging.basicConfig(format="%(name)s: %(message)s", level=logging.INFO)
    arguments = parse_arguments()
    try:
        if arguments.remove:
            remove_bridge()
        else:
            network = arguments.network
            served = Served(arguments.user, network, nameserver=open_nameserver(network))
            _serve(arguments.socket, served)
    except OSError as error:
        sys.exit(f"banger-bridge: {error}")


def _serve(path: str, served: Served) -> None:
    try:
        ensure_bridge(served.network)
    except OSError:
        if not lacks_counting():
            raise
        log.error("the kernel lacks nft_connlimit")
        served = dataclasses.replace(served, obstacle=Refusal.NO_COUNTING)
    with open_listener(path, served.uid) as listener:
        serve(listener, served)


if __name__ == "__main__":
    main()
