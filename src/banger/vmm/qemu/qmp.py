"""Conversations with QEMU over its control socket (QMP).

A connection is opened for each conversation and closed after it: QEMU serves one
client at a time, and an idle daemon with many VMs holds nothing.

Not by the QEMU project's own library: `qemu.qmp` 0.0.6 cannot be cancelled while it
connects, which is how each deadline on a hung VMM ends (it logs a critical "bug in the
QMP library" and leaves its tasks behind), and bounds nothing. ADR 0003.

What QEMU says is `untrusted_`: it may have been taken over by its guest. Lines and
their number are bounded, and what is not in the shapes below is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import msgspec

from banger.errors import DeadlineExceeded, VmmFailed

LINE_BYTES = 64 * 1024
MESSAGES = 1000
"""Events that may come before an answer."""
STATUS_CHARACTERS = 40
NAMED_DESCRIPTORS = (9, 1, 0)
"""From this version on QEMU warns of a plain file behind `fd:`, and loads `file:/dev/fdset/1`."""
_ADDRESS = re.compile(r" is 0x([0-9a-f]{1,16})\s*$")


class _Failure(msgspec.Struct, frozen=True):
    desc: str


class _Message(msgspec.Struct, frozen=True):
    """Any line of QEMU's: the greeting, an event, an answer or a failure."""

    greeting: dict[str, object] | None = msgspec.field(name="QMP", default=None)
    result: dict[str, object] | str | None = msgspec.field(name="return", default=None)
    error: _Failure | None = None
    event: str | None = None
    data: dict[str, object] | None = None


class _Status(msgspec.Struct, frozen=True):
    status: str


@dataclass(frozen=True)
class _Conversation:
    path: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sock: socket.socket
    """The writer's own; descriptors are sent through it."""

    async def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, *, fd: int | None = None
    ) -> dict[str, object]:
        """Send a command; return its answer, an object as nearly all of them are."""
        answer = await self._exchange(command, arguments, fd=fd)
        if isinstance(answer, str):
            raise VmmFailed(f"QEMU answered {command} with a string instead of an object.")
        return answer

    async def ask_text(self, command: str, arguments: Mapping[str, object]) -> str:
        """Send a command whose answer is a text for people."""
        answer = await self._exchange(command, arguments, fd=None)
        if not isinstance(answer, str):
            raise VmmFailed(f"QEMU answered {command} without a string.")
        return answer

    async def _exchange(
        self, command: str, arguments: Mapping[str, object] | None, *, fd: int | None
    ) -> dict[str, object] | str:
        """Send a command; return its answer, skipping what QEMU says of its own accord."""
        request: dict[str, object] = {"execute": command}
        if arguments is not None:
            request["arguments"] = arguments
        line = msgspec.json.encode(request) + b"\n"
        if fd is None:
            self.writer.write(line)
            await self.writer.drain()
        else:
            # Every earlier command was answered, so nothing of the writer's is under way.
            socket.send_fds(self.sock, [line], [fd])
        for _ in range(MESSAGES):
            message = await self.receive()
            if message.error is not None:
                raise VmmFailed(f"QEMU refused {command}: {message.error.desc[:200]}")
            if message.result is not None:
                return message.result
        raise VmmFailed(f"QEMU at {self.path} sends messages but no answer.")

    async def wait_completed(self) -> None:
        """Return when the state was moved."""
        for _ in range(MESSAGES):
            message = await self.receive()
            status = (message.data or {}).get("status")
            if message.event == "MIGRATION" and status == "completed":
                return
            if message.event == "MIGRATION" and status == "failed":
                raise VmmFailed(f"QEMU at {self.path} could not save or load the VM's state.")
        raise VmmFailed(f"QEMU at {self.path} sends messages but no answer.")

    async def receive(self) -> _Message:
        untrusted_line = await self.reader.readline()
        if not untrusted_line.endswith(b"\n"):
            raise EOFError
        return msgspec.json.decode(untrusted_line, type=_Message)


async def query_status(socket_path: str, *, deadline_s: float) -> str:
    """Return the VMM's run state, such as `running`.

    Raises:
        VmmFailed: it does not answer as QEMU would.
        DeadlineExceeded: it does not answer in time.
    """
    answer = await _ask(socket_path, "query-status", deadline_s=deadline_s)
    try:
        return msgspec.convert(answer, _Status).status[:STATUS_CHARACTERS]
    except msgspec.ValidationError as error:
        raise VmmFailed(f"QEMU at {socket_path} gave an invalid answer to query-status.") from error


async def ask_to_quit(socket_path: str, *, deadline_s: float) -> None:
    """Tell QEMU to end; it flushes its disks first.

    Raises:
        VmmFailed: it cannot be told (it may be gone already).
        DeadlineExceeded: it does not answer in time.
    """
    await _ask(socket_path, "quit", deadline_s=deadline_s)


async def pause(socket_path: str, *, deadline_s: float) -> None:
    """Stop the machine's processors and what its devices have under way.

    Raises:
        VmmFailed: it cannot.
        DeadlineExceeded: it has not in time.
    """
    await _ask(socket_path, "stop", deadline_s=deadline_s)


async def resume(socket_path: str, *, deadline_s: float) -> None:
    """Let the machine go on.

    Raises:
        VmmFailed: it cannot.
        DeadlineExceeded: it has not in time.
    """
    await _ask(socket_path, "cont", deadline_s=deadline_s)


async def save_devices(socket_path: str, fd: int, *, deadline_s: float) -> int:
    """Write a stopped machine's devices' state to a descriptor that is open for writing.

    Returns the address of the guest's memory in QEMU's address space.

    Raises:
        VmmFailed: it cannot, or it runs.
        DeadlineExceeded: it has not in time.
    """
    async with _talk(socket_path, deadline_s=deadline_s) as conversation:
        if (await conversation.execute("query-status")).get("running") is not False:
            raise VmmFailed("A VM that runs cannot be saved: it must be paused first.")
        # A descriptor, since the jail shows QEMU no file that it could write.
        async with _lent(conversation, fd) as path:
            # Its name tells of its first user; it is how a state without memory is written.
            arguments = {"filename": path, "live": False}
            await conversation.execute("xen-save-devices-state", arguments)
        return await _memory_address(conversation)


async def restore(
    socket_path: str, fd: int, *, version: tuple[int, int, int], deadline_s: float
) -> None:
    """Load devices' state from a descriptor into a machine that waits; return when it runs.

    `version` is QEMU's: how a file's descriptor is handed over has changed.

    Raises:
        VmmFailed: it does not load.
        DeadlineExceeded: it has not in time.
    """
    async with _talk(socket_path, deadline_s=deadline_s) as conversation:
        capabilities = [{"capability": "events", "state": True}]
        await conversation.execute("migrate-set-capabilities", {"capabilities": capabilities})
        # A descriptor, since QEMU may not start what would open the file for it.
        if version < NAMED_DESCRIPTORS:
            await conversation.execute("getfd", {"fdname": "state"}, fd=fd)
            await _load(conversation, "fd:state")
        else:
            async with _lent(conversation, fd) as path:
                await _load(conversation, f"file:{path}")
        await conversation.execute("cont")


async def _load(conversation: _Conversation, uri: str) -> None:
    await conversation.execute("migrate-incoming", {"uri": uri})
    await conversation.wait_completed()


@contextlib.asynccontextmanager
async def _lent(conversation: _Conversation, fd: int) -> AsyncIterator[str]:
    """Lend QEMU a descriptor for the block; yields the path by which QEMU opens it.

    It is in a set whose number QEMU chooses: an earlier conversation that was cut off may
    have left one.
    """
    given = await conversation.execute("add-fd", fd=fd)
    number = int(str(given.get("fdset-id")))
    try:
        yield f"/dev/fdset/{number}"
    finally:
        await conversation.execute("remove-fd", {"fdset-id": number})


async def _memory_address(conversation: _Conversation) -> int:
    """Ask where the guest's memory lies; only QEMU's command for people tells."""
    answer = await conversation.ask_text("human-monitor-command", {"command-line": "gpa2hva 0"})
    found = _ADDRESS.search(answer)
    if found is None:
        raise VmmFailed(f"QEMU does not report where the guest's memory is: {answer[:100]!r}.")
    return int(found[1], 16)


async def _ask(socket_path: str, command: str, *, deadline_s: float) -> dict[str, object]:
    """Connect, greet, give one command, and leave."""
    async with _talk(socket_path, deadline_s=deadline_s) as conversation:
        return await conversation.execute(command)


@contextlib.asynccontextmanager
async def _talk(socket_path: str, *, deadline_s: float) -> AsyncIterator[_Conversation]:
    """Connect and greet; leave at the end of the block, which is under the deadline, too."""
    try:
        async with asyncio.timeout(deadline_s):
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, socket_path)
                reader, writer = await asyncio.open_unix_connection(sock=sock, limit=LINE_BYTES)
            except BaseException:
                sock.close()
                raise
            try:
                conversation = _Conversation(socket_path, reader, writer, sock)
                if (await conversation.receive()).greeting is None:
                    raise VmmFailed(f"The program that answers at {socket_path} is not QEMU.")
                await conversation.execute("qmp_capabilities")
                yield conversation
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"QEMU did not answer at {socket_path} within {deadline_s:g} s."
        ) from error
    # ValueError: a line longer than the limit, or not JSON of our shapes.
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise VmmFailed(f"The connection to QEMU at {socket_path} failed: {error!r}.") from error
