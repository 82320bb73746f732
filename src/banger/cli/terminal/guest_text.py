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
    if not os.isatty(1):
        Relay(stream, stdin=None).run()
        return
    line = b""
    for _, data in stream:
        # Whole lines only, so that no escape sequence is split.
        *lines, line = (line + data).split(b"\n")
        _write_all(b"".join(harmless(one) + b"\n" for one in lines))
    _write_all(harmless(line))


def harmless(line: bytes) -> bytes:
    """Return a line without terminal control sequences and control characters (hazard E3)."""
    return _STEERING.sub(b"", _SEQUENCES.sub(b"", line.rstrip(b"\r")))


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
