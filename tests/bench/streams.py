"""What the host's side of forwards and commands takes, without a guest that is slower.

The agent is a process of this host, and so is the server that connections lead to
(`python -m tests.bench.streams`): it sends as many zeros as a client asks for, and ends with its
stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from banger.forwards import Endpoint, Forward, GuestPort, PortForwards
from banger.guest import ExecSpec, GuestConnection, connect_tcp, start_exec
from tests.bench.result import Result
from tests.bench.stage import Stage
from tests.support.agent import agent_connection, find_or_build_agent
from tests.support.loopbacks import own_address

BYTES = 100 * 1000 * 1000
CONNECTIONS = 1000
COMMANDS = 100
SAMPLES = 7
ROUNDS = 3
READ_BYTES = 262144
PATIENCE_S = 120.0
ZEROS = bytes(65536)

Samples = dict[str, list[float]]


def measure_streams(stage: Stage) -> Result:
    """A forward against the agent's stream alone; a thousand connections; a hundred commands."""
    _allow_descriptors()
    samples = asyncio.run(_measure(find_or_build_agent(stage.directory)))
    result = Result(
        "streams of an agent on this host", "s", samples, "forward at most 1.25x stream"
    )
    result.figures["100 MB, forward / stream"] = result.median("100 MB, forward") / result.median(
        "100 MB, stream"
    )
    for many, one, count in (
        ("1000 connections at once", "a connection", CONNECTIONS),
        ("100 commands at once", "a command", COMMANDS),
    ):
        result.figures[f"{many} / as many in turn"] = result.median(many) / (
            count * result.median(one)
        )
    return result


def _allow_descriptors() -> None:
    """Let this process, and what it starts, have a descriptor for each end of each connection."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _measure(binary: Path) -> Samples:
    samples: Samples = {}
    async with _server() as port, agent_connection(binary) as connection:

        async def connect() -> GuestConnection:
            return connection

        async with PortForwards(own_address(), connect) as forwards:
            host = Endpoint(own_address(), port)
            forwards.publish([Forward(host, GuestPort(port))])
            if problem := forwards.find_problem(host):
                raise RuntimeError(problem.message)
            await _time_bytes(connection, host, samples)
            await _time_connections(host, samples)
        await _time_commands(connection, samples)
    return samples


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[int]:
    """The port of the server, which runs for the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.streams"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


async def _time_bytes(connection: GuestConnection, host: Endpoint, samples: Samples) -> None:
    for _ in range(SAMPLES):
        started = time.perf_counter()
        left = BYTES
        async with await connect_tcp(
            connection, "127.0.0.1", host.port, deadline_s=PATIENCE_S
        ) as tcp:
            await tcp.write(b"%d\n" % BYTES)
            while data := await tcp.read():
                left -= len(data)
        _note(samples, "100 MB, stream", started, left)
        started = time.perf_counter()
        _note(samples, "100 MB, forward", started, await _fetch(host, BYTES))


async def _time_connections(host: Endpoint, samples: Samples) -> None:
    for _ in range(SAMPLES):
        started = time.perf_counter()
        _note(samples, "a connection", started, await _fetch(host, 1))
    for _ in range(ROUNDS):
        started = time.perf_counter()
        lefts = await asyncio.gather(*(_fetch(host, 1) for _ in range(CONNECTIONS)))
        _note(samples, "1000 connections at once", started, sum(lefts))


async def _time_commands(connection: GuestConnection, samples: Samples) -> None:
    for _ in range(SAMPLES):
        started = time.perf_counter()
        _note(samples, "a command", started, await _run_true(connection))
    for _ in range(ROUNDS):
        started = time.perf_counter()
        statuses = await asyncio.gather(*(_run_true(connection) for _ in range(COMMANDS)))
        _note(samples, "100 commands at once", started, sum(statuses))


def _note(samples: Samples, label: str, started: float, left: int) -> None:
    """Keep a sample, which counts only if nothing is left to be done."""
    if left:
        raise RuntimeError(f"{label}: {left} are left")
    samples.setdefault(label, []).append(time.perf_counter() - started)


async def _fetch(host: Endpoint, size: int) -> int:
    """Ask the server at a forward for bytes; return how many have not come."""
    reader, writer = await asyncio.open_connection(host.address, host.port, limit=READ_BYTES)
    writer.write(b"%d\n" % size)
    while data := await reader.read(READ_BYTES):
        size -= len(data)
    writer.close()
    return size


async def _run_true(connection: GuestConnection) -> int:
    async with await start_exec(connection, ExecSpec((b"true",)), deadline_s=PATIENCE_S) as process:
        return (await process.wait()).status


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    left = int(await reader.readline())
    while left:
        writer.write(ZEROS[:left])
        left -= min(left, len(ZEROS))
        await writer.drain()
    writer.close()


async def _serve() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=CONNECTIONS)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
