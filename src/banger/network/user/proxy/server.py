"""The egress proxy's sockets and tasks: connections, queries, and what the daemon asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from typing import Any

import msgspec

from banger.errors import BangerError
from banger.model.egress import PORTS_MAX, Egress, Profile
from banger.model.secrets import BoundSecret
from banger.network.dnswire import QUERY_MAX, BadQuery, Code, parse_query, render_answer
from banger.network.egress.policy import NAMESERVER
from banger.network.user.argv import CHAIN
from banger.network.user.proxy.denials import Denials, Refused
from banger.network.user.proxy.flows import (
    Flow,
    read_first,
    reset_when_closed,
    serve_flow,
)
from banger.network.user.proxy.names import Names
from banger.network.user.proxy.policy import Policy
from banger.network.user.proxy.resolver import answer_query, read_name
from banger.network.user.proxy.secrets import Secrets
from banger.network.user.proxy.targets import find_target, require_allowed
from banger.network.user.proxy.terminated import serve_terminated
from banger.network.user.proxy.tls import Tls, load_tls

FLOWS_MAX, LOOKUPS_MAX = 512, 8
"""At once; a further connection is reset, a further look-up waits."""
DNS_PORT = 53
DNS_IDLE_S = 30.0
MESSAGE_MAX = 131072
PAUSE_S = 0.1
"""After a connection could not be accepted."""

log = logging.getLogger(__name__)


class Server:
    """What the process has."""

    def __init__(
        self,
        control: socket.socket,
        datagrams: socket.socket,
        streams: list[socket.socket],
    ) -> None:
        self.control, self.datagrams, self.spare = control, datagrams, streams
        self.tls: Tls | None = None
        self.policy = Policy(Egress(profile=Profile.NONE))
        self.secrets = Secrets()
        self.names, self.denials = Names(), Denials()
        self.listening: set[int] = set()
        self.flows: dict[asyncio.Task[None], Flow] = {}
        self.tasks: set[asyncio.Task[None]] = set()


async def run(server: Server, inside: int) -> None:
    """Serve until the process behind the pidfd `inside` ends."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.set_default_executor(ThreadPoolExecutor(LOOKUPS_MAX))
    loop.add_reader(inside, ended.set)
    server.datagrams.bind((NAMESERVER, DNS_PORT))
    server.datagrams.setblocking(False)
    _start(server, _serve_datagrams(server))
    _listen(server, DNS_PORT)
    server.control.setblocking(False)
    _start(server, _serve_control(server))
    await ended.wait()


def _start(server: Server, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work)
    server.tasks.add(task)
    task.add_done_callback(lambda task: _ended(server, task))
    return task


def _ended(server: Server, task: asyncio.Task[None]) -> None:
    server.tasks.discard(task)
    if not task.cancelled() and task.exception() is not None:
        log.error("a connection was lost by a bug", exc_info=task.exception())


def _listen(server: Server, port: int) -> None:
    """Listen at a port of every address inside; a port that has a listener keeps it."""
    if port in server.listening:
        return
    listener = server.spare.pop()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port))
    listener.listen(128)
    listener.setblocking(False)
    server.listening.add(port)
    _start(server, _serve_port(server, listener))


async def accept(listener: socket.socket) -> socket.socket:
    """Return the next connection; what fails is tried again."""
    while True:
        try:
            return (await asyncio.get_running_loop().sock_accept(listener))[0]
        except OSError as error:
            log.warning("a connection cannot be accepted: %s", error)
            await asyncio.sleep(PAUSE_S)


async def _serve_port(server: Server, listener: socket.socket) -> None:
    while True:
        client = await accept(listener)
        local = client.getsockname()
        if len(server.tasks) > FLOWS_MAX:
            reset_when_closed(client)
            client.close()
        elif local == (NAMESERVER, DNS_PORT):
            _start(server, _serve_queries(server, client))
        else:
            _serve(server, client, local)


def _serve(server: Server, client: socket.socket, local: tuple[str, int]) -> None:
    try:
        target = find_target(local, server.names)
        require_allowed(target, server.policy)
    except Refused as refused:
        server.denials.note(refused, now=time.time())
        reset_when_closed(client)
        client.close()
        return
    flow = Flow(target, server.policy, server.secrets)
    task = _start(server, _serve_flow(server, client, flow))
    server.flows[task] = flow
    task.add_done_callback(server.flows.pop)


async def _serve_flow(server: Server, client: socket.socket, flow: Flow) -> None:
    with client:
        try:
            beginning = await read_first(client, flow)
            tls = _find_tls(server, flow)
            if tls is not None:
                await serve_terminated(client, flow, beginning, tls)
            else:
                await serve_flow(client, flow, beginning)
        except* Refused as group:
            for refused in _leaves(group):
                server.denials.note(refused, now=time.time())
        except* OSError:
            pass


def _find_tls(server: Server, flow: Flow) -> Tls | None:
    """Return by what the TLS of a connection ends here; None: it passes."""
    tls, name = server.tls, flow.target.name
    if tls is None or name is None or not (flow.is_bound and tls.has(name)):
        return None
    return tls


def _leaves(group: BaseExceptionGroup[Refused]) -> Iterator[Refused]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


def _answer(server: Server, untrusted_data: bytes) -> bytes | None:
    """Return the answer to a message; None: there is none."""
    try:
        query = parse_query(untrusted_data)
    except BadQuery as bad:
        return bad.answer
    answer = answer_query(query, server.policy, server.names)
    name = read_name(query)
    if answer.code == Code.NAME_ERROR and name is not None:
        server.denials.note(Refused(name, "", can_allow=True), now=time.time())
    return render_answer(query, answer)


async def _serve_datagrams(server: Server) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            untrusted_data, client = await loop.sock_recvfrom(server.datagrams, QUERY_MAX + 1)
            answer = _answer(server, untrusted_data)
            if answer is not None:
                await loop.sock_sendto(server.datagrams, answer, client)
        except OSError as error:
            log.warning("a query cannot be answered: %s", error)
            await asyncio.sleep(PAUSE_S)


async def _serve_queries(server: Server, client: socket.socket) -> None:
    """Answer the queries of a TCP connection (RFC 1035, section 4.2.2)."""
    loop = asyncio.get_running_loop()
    client.setblocking(False)
    with client, contextlib.suppress(OSError, EOFError):
        while True:
            async with asyncio.timeout(DNS_IDLE_S):
                size = int.from_bytes(await _read_exactly(client, 2), "big")
                answer = _answer(server, await _read_exactly(client, size))
                if size > QUERY_MAX or answer is None:
                    return
                await loop.sock_sendall(client, len(answer).to_bytes(2, "big") + answer)


async def _read_exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = await asyncio.get_running_loop().sock_recv(client, count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


async def _serve_control(server: Server) -> None:
    while True:
        _start(server, _serve_client(server, await accept(server.control)))


async def _serve_client(server: Server, client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_MAX)
    with client, contextlib.suppress(OSError):
        while message := await loop.sock_recv(client, MESSAGE_MAX):
            await loop.sock_sendall(client, _reply(server, message))


def _reply(server: Server, message: bytes) -> bytes:
    try:
        return _carry_out(server, message)
    except OSError as error:
        log.warning("a message cannot be carried out: %s", error)
        return b"F"
    except (BangerError, msgspec.MsgspecError, ValueError) as error:
        log.warning("a message is not understood: %s", error)
        return b"E"


def _carry_out(server: Server, message: bytes) -> bytes:
    match message[:1]:
        case b"P":
            _set_policy(server, msgspec.json.decode(message[1:], type=Egress))
            return b"P"
        case b"S":
            _set_secrets(server, msgspec.json.decode(message[1:], type=list[BoundSecret]))
            names = server.tls.names if server.tls else frozenset()
            return b"S" if server.secrets.names <= names else b"SC"
        case b"C":
            server.tls = load_tls(CHAIN, message[1:])
            return b"C"
        case b"L":
            return b"L" + msgspec.json.encode(server.denials.list())
        case b"N":
            asked = msgspec.json.decode(message[1:], type=list[str])
            found = {each: server.names.find_name(IPv4Address(each)) for each in asked}
            return b"N" + msgspec.json.encode(found)
    return b"E"


def _set_secrets(server: Server, bound: list[BoundSecret]) -> None:
    """End the connections to hosts whose TLS was ended for a secret that is gone."""
    server.secrets = secrets = Secrets(bound)
    for task, flow in server.flows.items():
        was, flow.secrets = _find_tls(server, flow), secrets
        if was and not _find_tls(server, flow):
            task.cancel()


def _set_policy(server: Server, egress: Egress) -> None:
    policy = Policy(egress)
    if len(policy.ports - server.listening) > len(server.spare):
        raise ValueError(f"more than {PORTS_MAX} ports")
    for port in sorted(policy.ports):
        _listen(server, port)
    server.policy = policy
    for task, flow in server.flows.items():
        flow.policy = policy
        try:
            flow.require_allowed()
        except Refused:
            task.cancel()
