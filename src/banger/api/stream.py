"""Binary frames, which a connection carries after the reply of a `stream` method.

    u8 channel | u32 length, big-endian | payload, at most 1 MiB

| channel | direction | payload |
|---|---|---|
| 0 | client to daemon | stdin |
| 1 | daemon to client | stdout, a log, a patch |
| 2 | daemon to client | stderr |
| 3 | both | one JSON object (control) |

Control, client to daemon: `{"resize": {"rows": R, "columns": C}}`, `{"signal": N}`,
`{"eof": true}` (no more stdin). Daemon to client: `{"credit": N}`, `{"eof": true}` (no more
output, though input is still taken; `vm.connect` only), `{"gap": N}` (N bytes of output that were
here are lost; `session.attach` only), and as the last frame
`{"exit": {"status": N}}`, `{"exit": {"signal": N}}` or `{"error": {...}}` (as in a reply).
After the last frame the daemon closes the connection.

Flow control: for stdout and stderr the socket itself applies backpressure. Stdin has a window,
since a signal must not wait behind input that the guest does not read: the client sends at most
`STDIN_WINDOW` bytes of channel 0, and more as `credit` allows; the daemon keeps reading and never
buffers more than the window. A client that exceeds the window is disconnected.

Pure and light, like `api.wire`.
"""

from __future__ import annotations

import json

from banger.errors import InvalidRequest

STDIN = 0
STDOUT = 1
STDERR = 2
CONTROL = 3

HEADER_BYTES = 5
MAX_PAYLOAD_BYTES = 1024 * 1024
STDIN_WINDOW = 256 * 1024

Control = dict[str, object]


def format_frame(channel: int, payload: bytes) -> bytes:
    """Return one frame; the payload must not exceed the limit."""
    return format_header(channel, len(payload)) + payload


def format_header(channel: int, length: int) -> bytes:
    """Return what precedes a payload of this length, which must not exceed the limit."""
    if length > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a frame of {length} bytes is too long")
    return bytes((channel,)) + length.to_bytes(4, "big")


def format_control(content: Control) -> bytes:
    """Return a control frame."""
    return format_frame(CONTROL, json.dumps(content, separators=(",", ":")).encode("ascii"))


def parse_header(untrusted_header: bytes) -> tuple[int, int]:
    """Return the channel and payload length of a frame.

    Raises:
        InvalidRequest: the channel does not exist, or the payload is too long.
    """
    channel, length = untrusted_header[0], int.from_bytes(untrusted_header[1:HEADER_BYTES], "big")
    if channel > CONTROL or length > MAX_PAYLOAD_BYTES:
        raise InvalidRequest(f"A stream frame is not valid: channel {channel}, {length} bytes.")
    return channel, length


def parse_control(untrusted_payload: bytes) -> Control:
    """Return the object of a control frame.

    Raises:
        InvalidRequest: the payload is not a JSON object.
    """
    try:
        content = json.loads(untrusted_payload)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"A control frame is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise InvalidRequest("A control frame is not a JSON object.")
    return content


class FrameReader:
    """Splits a byte stream into frames; buffers at most one partial frame and one read."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, untrusted_bytes: bytes) -> list[tuple[int, bytes]]:
        """Return the frames that these bytes complete, as (channel, payload).

        Raises:
            InvalidRequest: see `parse_header`.
        """
        self._buffer += untrusted_bytes
        frames: list[tuple[int, bytes]] = []
        start = 0
        # A view, so that a payload is copied once.
        with memoryview(self._buffer) as buffer:
            while len(buffer) - start >= HEADER_BYTES:
                channel, length = parse_header(bytes(buffer[start : start + HEADER_BYTES]))
                end = start + HEADER_BYTES + length
                if len(buffer) < end:
                    break
                frames.append((channel, bytes(buffer[start + HEADER_BYTES : end])))
                start = end
        del self._buffer[:start]
        return frames
