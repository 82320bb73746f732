"""A command that runs in a VM, or a session that a client is attached to.

Made by `make docs` from `sdk/aio/process.py`; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from banger.sdk.command import encode, returncode_of
from banger.sdk.sync.stream import Stream

if TYPE_CHECKING:
    from types import TracebackType


class Process:
    """A command that runs; leaving the block closes its connection.

    To be read by one thread or task at a time. Input that is sent while a command waits for
    its output to be read is sent all the same: up to 64 MiB of output are kept meanwhile.
    """

    def __init__(self, stream: Stream, pid: int | None) -> None:
        self._stream = stream
        self.pid = pid
        """In the VM; of a session that has ended None."""
        self.returncode: int | None = None
        """How it ended, as soon as that was waited for; -N: signal N."""

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield output as it comes: 1 (stdout) or 2 (stderr), and the bytes; up to the end."""
        yield from self._stream
        self.returncode = returncode_of(self._stream.exit)

    def write(self, data: str | bytes) -> None:
        """Send input, at the pace at which it is read; after the end it is dropped."""
        self._stream.send(encode(data) or b"")

    def close_input(self) -> None:
        """Send the end of the input."""
        self._stream.control({"eof": True})

    def send_signal(self, number: int) -> None:
        """Send a signal to the command's process group."""
        self._stream.control({"signal": number})

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the terminal."""
        self._stream.control({"resize": {"rows": rows, "columns": columns}})

    def wait(self) -> int:
        """Return how it ended; its output is kept meanwhile, at most 64 MiB.

        Raises:
            Cancelled: the block has ended before the command.
        """
        self.returncode = returncode_of(self._stream.wait())
        return self.returncode
