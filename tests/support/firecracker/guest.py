"""The stand-in's guest: banger's agent as a process of this host, behind a Unix socket for vsock.

What only a guest can do is answered here (`frames`).
The agent and its programs end with the stand-in, whatever ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable

from tests.support.firecracker.frames import Proxy, Splitter

AGENT_PORT = 5005
FIRST_LOCAL_PORT = 1_073_741_824
CONNECT = re.compile(rb"CONNECT (\d{1,10})\n")
RELAY_BYTES = 64 * 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Guest:
    """What runs in the machine: the agent, reached through vsock."""

    def __init__(self, agent: str, *, resets_first: bool, on_reset: Callable[[], None]) -> None:
        self._program = agent
        self._on_reset = on_reset
        self._resets_first = resets_first
        """A restored guest's first connection is answered, then reset: seen with 1.12.1."""
        self._runs = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._agent: Streams | None = None
        self._host: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._back: asyncio.Task[None] | None = None
        self._next_port = FIRST_LOCAL_PORT

    async def listen(self, uds_path: str) -> None:
        """Take the host's connections; an OSError if there is such a file already."""
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(uds_path)
        except OSError:
            listener.close()
            raise
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()

    async def run(self) -> None:
        """Let it run, from its start or from where it was paused."""
        if self._process is None:
            await self._start()
        else:
            self._process.send_signal(signal.SIGCONT)
        self._runs.set()

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # The end of its host makes it end its programs and itself, also when it is stopped;
            # a signal for our group would end it alone.
            command = ["setpriv", "--pdeathsig", "CONT", self._program]
            command += ["--fd", str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        # One that is stopped before it has become the agent would outlive us.
        agent = os.path.realpath(self._program)
        with contextlib.suppress(FileNotFoundError):  # it has ended
            while os.readlink(f"/proc/{self._process.pid}/exe") != agent:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.001)
        self._agent = await asyncio.open_unix_connection(sock=ours, limit=RELAY_BYTES)
        self._back = asyncio.create_task(self._pass_back(self._agent[0]))

    def pause(self) -> None:
        """Let it stand still."""
        assert self._process is not None
        self._runs.clear()
        self._process.send_signal(signal.SIGSTOP)

    def drop_connections(self) -> None:
        """End the host's connection, as taking a snapshot does."""
        if self._host is not None:
            self._host.close()
            self._host = None

    async def _pass_back(self, reader: asyncio.StreamReader) -> None:
        """Pass what the agent says to whoever is connected; its end is the machine's reset."""
        splitter = Splitter()
        while data := await reader.read(RELAY_BYTES):
            said = b"".join(splitter.feed(data))  # so that nothing is put into a frame
            if self._host is not None:
                with contextlib.suppress(ConnectionError):
                    self._host.write(said)
                    await self._host.drain()
        self._on_reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            asked = CONNECT.fullmatch(await reader.readuntil(b"\n"))
            # Nobody answers for a guest that has not started; one that is paused answers later.
            if asked is not None and int(asked[1]) == AGENT_PORT and self._process is not None:
                await self._runs.wait()
                await self._answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"OK %d\n" % self._next_port)
        await writer.drain()
        self._next_port += 1
        if self._resets_first:
            self._resets_first = False
            return
        self.drop_connections()  # the agent serves one host, the newest
        self._host = writer
        assert self._agent is not None
        splitter, proxy = Splitter(), Proxy()
        while data := await reader.read(RELAY_BYTES):
            if self._host is not writer:
                return
            for frame in splitter.feed(data):
                answer = proxy.answer(frame)
                target, said = (self._agent[1], frame) if answer is None else (writer, answer)
                target.write(said)
                await target.drain()
        if self._host is writer:
            self._host = None
