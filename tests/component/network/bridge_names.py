"""Names on the bridge of `bridge_host.py`: guests ask, and a nameserver of the world is asked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from banger.engine.upkeep.nameservers import Served, keep_sockets
from banger.names.dns import Addresses, GuestNameserver
from banger.network.bridge.addresses import DNS, DNS_SOCKETS, NETWORK, host_address
from banger.network.bridge.nameserver import BridgeNameserver
from banger.network.dnswire import (
    Answer,
    Code,
    Record,
    Type,
    parse_query,
    render_answer,
    render_name,
)

if TYPE_CHECKING:
    from tests.component.network.bridge_host import Station

HOST = str(host_address(NETWORK))
CLIENT, TCP = 5300, 6
DEADLINE_S = 100.0


def query_for(name: str, kind: Type = Type.A) -> bytes:
    labels = render_name(name.encode().split(b"."))
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + struct.pack("!2H", kind, 1)


def serve_names(address: str) -> socket.socket:
    """Answer each query with the address that it came from."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, DNS))

    def serve() -> None:
        while True:
            message, client = server.recvfrom(512)
            record = Record(Type.A, 5, socket.inet_aton(client[0]))
            answer = Answer(Code.NO_ERROR, (record,))
            server.sendto(render_answer(parse_query(message), answer), client)

    threading.Thread(target=serve, daemon=True).start()
    return server


def open_stranger() -> socket.socket:
    """Return a socket of the world."""
    stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stranger.setblocking(False)
    return stranger


def ask_names(
    a: Station,
    b: Station,
    *,
    stranger: socket.socket,
    world: str,
    restart_helper: Callable[[], None],
) -> dict[str, str]:
    """Ask the host for names as guests do; the first queries come while nobody answers yet."""

    nameserver = BridgeNameserver()

    async def load() -> Addresses:
        return {"b": (b.address,), "host": nameserver.list_addresses()}

    async def answer() -> dict[str, str]:
        networks, servers = nameserver.networks, ((world, DNS),)
        async with GuestNameserver(networks, load, load_servers=lambda: servers) as names:
            served = Served(names)
            await keep_sockets(served, nameserver)
            found = await asyncio.to_thread(hear_names, a, b)
            restart_helper()
            await keep_sockets(served, nameserver)
            a.say(HOST, DNS, query_for("b.vm"), own_port=CLIENT)
            found["another helper"] = read_address((await asyncio.to_thread(a.hear))[3])
            return found

    for station in (a, b):
        station.go_by(HOST)
    with stranger:
        stranger.sendto(query_for("b.vm"), (HOST, DNS_SOCKETS))
        a.say(HOST, DNS, query_for("b.vm"), own_port=CLIENT)
        found = asyncio.run(answer())
        with contextlib.suppress(BlockingIOError):
            found["stranger"] = stranger.recv(512).hex()
    return found


def hear_names(a: Station, b: Station) -> dict[str, str]:
    sender, port, to, answer = a.hear()
    found = {"waited": f"{sender} {port} {to} {read_address(answer)}"}
    for name in ("host.vm", "c.vm", "example.org"):
        answer = b.ask(HOST, DNS, query_for(name), wait_s=DEADLINE_S) or b""
        found[name] = read_address(answer)
    answer = b.ask(HOST, DNS, query_for("host.vm", Type.AAAA), wait_s=DEADLINE_S) or b""
    found["host.vm AAAA"] = socket.inet_ntop(socket.AF_INET6, answer[-16:])
    return found | {"tcp": a.outcome(HOST, TCP, DNS), "other": a.outcome(HOST, TCP, DNS + 1)}


def read_address(answer: bytes) -> str:
    """Return the address that an answer ends with, or its code."""
    code = answer[3] & 15
    return f"code {code}" if code else socket.inet_ntoa(answer[-4:])
