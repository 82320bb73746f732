"""A front, its guests, and servers in them: threads of this process, which the agent reaches."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from banger.errors import VmNotFound, WrongState
from banger.forwards import PortForwards
from banger.guest import GuestConnection
from banger.names import Addresses, Guest, Names, open_names
from tests.support.agent import agent_connection
from tests.support.loopbacks import free_front_port

ADDRESS = "127.77.254.2"
ADDRESSES = {"one": ("127.77.1.2",), "two": ("127.77.0.254",), "stopped": ("127.77.255.1",)}
"""Of VMs, as the DNS server tells them."""
PATIENCE_S = 60.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@contextlib.asynccontextmanager
async def open_front(agent_binary: Path, **vms: int) -> AsyncIterator[int]:
    """A front whose VMs listen on these ports, and that knows a VM `stopped`; its port."""
    async with open_all(agent_binary, **vms) as names:
        await names.http.listen(free_front_port())
        assert names.http.port is not None, names.problems
        yield names.http.port


@contextlib.asynccontextmanager
async def open_all(agent_binary: Path, **vms: int) -> AsyncIterator[Names]:
    """Servers of names as above, which listen nowhere yet."""
    async with agent_connection(agent_binary) as connection, contextlib.AsyncExitStack() as stack:

        async def connect() -> GuestConnection:
            return connection

        guests = {}
        for name, port in vms.items():
            ports = await stack.enter_async_context(PortForwards(ADDRESS, connect))
            ports._listeners = frozenset({("127.0.0.1", port)})
            guests[name] = Guest(name, ports)

        async def find(name: str) -> Guest:
            if name == "stopped":
                raise WrongState("The VM stopped is stopped.", hint="banger vm show stopped")
            if name not in guests:
                raise VmNotFound(f"There is no VM {name}.", hint="banger vm list")
            return guests[name]

        async def load() -> Addresses:
            return ADDRESSES

        yield await stack.enter_async_context(open_names(find, load))


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def within_time() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await work()

    asyncio.run(within_time())


@contextlib.contextmanager
def web_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """A web server in the guest; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server in the guest that says what `talk` says to each client, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client, contextlib.suppress(OSError):
                        talk(client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


async def curl(*args: str) -> subprocess.CompletedProcess[bytes]:
    """Run curl to its end, whatever that is."""
    command = ["curl", "-sS", "--max-time", "50", *args]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)


async def fetch(*args: str) -> str:
    """Return what curl prints; it has to succeed."""
    done = await curl(*args)
    assert done.returncode == 0, done
    return done.stdout.decode()


async def ask(port: int, sent: bytes, *, host: str = "127.0.0.1", is_ended: bool = False) -> bytes:
    """Send bytes to a front, and return all that it says until it closes."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(sent)
        if is_ended:
            writer.write_eof()
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
