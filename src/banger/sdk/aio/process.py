"""A command that runs in a VM, or a session that a client is attached to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from banger.sdk.aio.stream import AsyncStream
from banger.sdk.command import encode, returncode_of

if TYPE_CHECKING:
    from types import TracebackType


class AsyncProcess:
    """A command that runs; leaving the block closes its connection.

    To be read by one thread or task at a time. Input that is sent while a command waits for
    its output to be read is sent all the same: up to 64 MiB of output are kept meanwhile.
    """

    def __init__(self, stream: AsyncStream, pid: int | None) -> None:
        self._stream = stream
        self.pid = pid
        """In the VM; of a session that has ended None."""
        self.returncode: int | None = None
        """How it ended, as soon as that was waited for; -N: signal N."""

    async def __aenter__(self) -> AsyncProcess:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield output as it comes: 1 (stdout) or 2 (stderr), and the bytes; up to the end."""
        async for piece in self._stream:
            yield piece
        self.returncode = returncode_of(self._stream.exit)

    async def write(self, data: str | bytes) -> None:
        """Send input, at the pace at which it is read; after the end it is dropped."""
        await self._stream.send(encode(data) or b"")

    def close_input(self) -> None:
        """Send the end of the input."""
        self._stream.control({"eof": True})

    def send_signal(self, number: int) -> None:
        """Send a signal to the command's process group."""
        self._stream.control({"signal": number})

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the terminal."""
        self._stream.control({"resize": {"rows": rows, "columns": columns}})

    async def wait(self) -> int:
        """Return how it ended; its output is kept meanwhile, at most 64 MiB.

        Raises:
            Cancelled: the block has ended before the command.
        """
        self.returncode = returncode_of(await self._stream.wait())
        return self.returncode
