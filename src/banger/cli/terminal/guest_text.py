"""Text from a guest: copied unchanged, or sanitized for a terminal."""

from __future__ import annotations

import os
import re

from banger.client.relay import Relay
from banger.client.stream import ClientStream

_SEQUENCES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_STEERING = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


def copy_out(stream: ClientStream) -> None:
    """Copy a stream to stdout: unchanged, or sanitized if stdout is a terminal."""
    output = GuestOutput()
    output.copy(stream)
    output.end()


class GuestOutput:
    """Copies streams that follow each other as one: both channels, on a terminal as one text."""

    def __init__(self) -> None:
        self._line = b""

    def copy(self, stream: ClientStream) -> dict[str, int]:
        """Copy a stream to its end, except for a line that has no end yet; return its exit.

        Raises:
            BangerError: the stream ended with this error; what came before was copied.
        """
        if not os.isatty(1):
            return Relay(stream, stdin=None).run()
        for _, data in stream:
            # Whole lines only, so that no escape sequence is split.
            *lines, self._line = (self._line + data).split(b"\n")
            _write_all(b"".join(harmless(one) + b"\n" for one in lines))
        return stream.require_exit()

    def end(self) -> None:
        """Write a last line without its end."""
        _write_all(harmless(self._line))


def harmless(line: bytes) -> bytes:
    """Return a line without terminal control sequences and control characters (hazard E3)."""
    return _STEERING.sub(b"", _SEQUENCES.sub(b"", line.rstrip(b"\r")))


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
