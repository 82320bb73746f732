"""Merged output of several programs: whole lines, each with its program's label.

Threads share one `Output`, whose lock is held while lines are written, so that lines never mix.
An unfinished line is buffered until its newline, at most `LINE_BYTES` of it.
"""

from __future__ import annotations

import os
import select
import threading

from banger.cli.terminal.guest_text import harmless
from banger.errors import OperationFailed

LINE_BYTES = 64 * 1024
"""Longer lines are split into pieces of this size, each with the label."""


class OutputClosed(Exception):
    """The output can no longer be written; a writing thread must end."""


class Output:
    """The standard descriptors, shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._failure: OSError | None = None

    def write(self, fd: int, data: bytes) -> None:
        """Write whole lines.

        Raises:
            OutputClosed: this write or an earlier one failed, or the output was closed.
        """
        with self._lock:
            if self._closed:
                raise OutputClosed
            try:
                _write_all(fd, data)
            except OSError as error:
                self._closed, self._failure = True, error
                raise OutputClosed from error

    def close(self) -> None:
        """Refuse further writes. Takes no lock, since a writer may be blocked by its reader."""
        self._closed = True

    def require_written(self) -> None:
        """Check that all output was written.

        Raises:
            BrokenPipeError: the reader has closed the pipe.
            OperationFailed: the output cannot be written, as on a full disk.
        """
        if isinstance(self._failure, BrokenPipeError):
            raise self._failure
        if self._failure is not None:
            raise OperationFailed(
                f"The output cannot be written: {self._failure.strerror}."
            ) from self._failure


class Lines:
    """Splits one program's output into labelled lines; pure.

    Lines for a terminal are sanitized (hazard E3); otherwise every byte is kept.
    """

    def __init__(self, label: str, *, for_terminal: bool) -> None:
        self._label = label.encode()
        self._for_terminal = for_terminal
        self._rest = b""

    def feed(self, untrusted_data: bytes) -> bytes:
        """Add the next bytes; return the lines that they complete."""
        *lines, self._rest = (self._rest + untrusted_data).split(b"\n")
        pieces = [piece for line in lines for piece in _cut(line)]
        while len(self._rest) > LINE_BYTES:
            pieces.append(self._rest[:LINE_BYTES])
            self._rest = self._rest[LINE_BYTES:]
        return b"".join(self._render(piece) for piece in pieces)

    def finish(self) -> bytes:
        """Return the last line if it has no newline, else nothing."""
        rest, self._rest = self._rest, b""
        return self._render(rest) if rest else b""

    def _render(self, piece: bytes) -> bytes:
        return self._label + (harmless(piece) if self._for_terminal else piece) + b"\n"


def _cut(line: bytes) -> list[bytes]:
    starts = range(0, max(len(line), 1), LINE_BYTES)
    return [line[start : start + LINE_BYTES] for start in starts]


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            # Another process that shares the descriptor has made it non-blocking.
            poller = select.poll()
            poller.register(fd, select.POLLOUT)
            poller.poll()
