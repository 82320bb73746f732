"""Fields of requests and answers (guest protocol, section 5).

Pure. Values for the guest are encoded from trusted types. Values from the guest are
checked once, here, and returned as `str`, `int` or bounded `bytes`. Unknown tags
from the agent are ignored, as the protocol says; everything else that is wrong
raises GuestProtocolError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from enum import IntEnum

from banger.errors import GuestProtocolError, InvalidRequest

_HEAD = struct.Struct("<HI")
_U64 = struct.Struct("<Q")
_I64 = struct.Struct("<q")


class Tag(IntEnum):
    """Tag of a field."""

    CODE = 1
    MESSAGE = 2
    ERRNO = 3
    AGENT_VERSION = 4
    BOOT_ID = 5
    STATE = 6
    ARCH = 7
    STREAMS = 8
    FEATURES = 9
    ARG = 16
    ENV = 17
    CWD = 18
    USER = 19
    FLAGS = 20
    ROWS = 21
    COLUMNS = 22
    SIGNAL = 23
    STATUS = 24
    PID = 25
    SESSION = 26
    STARTED_NS = 27
    ENDED_NS = 28
    READERS = 29
    MODES = 30
    PATH = 32
    ENTRIES = 33
    BYTES = 34
    NAME = 35
    UID = 36
    GID = 37
    MODE = 38
    SIZE = 39
    MTIME_NS = 40
    TARGET = 41
    OFFSET = 42
    DIGEST = 43
    LINES = 44
    SINCE_NS = 45
    HOST = 48
    PORT = 49
    LISTENER = 50
    CONNECTION = 51
    NUMBER = 52
    HOSTNAME = 64
    CLOCK_NS = 65
    ENTROPY = 66
    FILE = 67
    CONTENT = 68
    INTERFACE = 69
    MAC = 70
    ADDRESS = 71
    PREFIX = 72
    GATEWAY = 73
    ROOT = 74
    DATA = 75
    INIT = 76
    NATIVE = 77
    MODULES = 78
    ADDRESS6 = 79


class Fields:
    """The fields of one message from the guest, by tag, in the order sent."""

    def __init__(self, untrusted_values: Mapping[int, list[bytes]]) -> None:
        self._untrusted_values = untrusted_values

    def all(self, tag: Tag) -> tuple[bytes, ...]:
        """Return every value of a repeatable field."""
        return tuple(self._untrusted_values.get(tag, ()))

    def find(self, tag: Tag) -> bytes | None:
        """Return the value of an optional field, which may not repeat."""
        values = self._untrusted_values.get(tag, ())
        if len(values) > 1:
            raise GuestProtocolError(f"The guest sent the field {tag.name} more than once.")
        return values[0] if values else None

    def bytes(self, tag: Tag) -> bytes:
        """Return the value of a required field."""
        value = self.find(tag)
        if value is None:
            raise GuestProtocolError(f"The guest sent no field {tag.name}.")
        return value

    def text(self, tag: Tag) -> str:
        """Return a required text: UTF-8, printable, at most 255 characters."""
        try:
            text = self.bytes(tag).decode("utf-8")
        except UnicodeDecodeError as error:
            raise GuestProtocolError(f"The guest's field {tag.name} is not UTF-8.") from error
        if len(text) > 255 or not text.isprintable():
            raise GuestProtocolError(f"The guest's field {tag.name} is not a short plain text.")
        return text

    def u64(self, tag: Tag, *, most: int = 2**64 - 1) -> int:
        """Return a required number, at most `most`."""
        value = self.find_u64(tag, most=most)
        if value is None:
            raise GuestProtocolError(f"The guest sent no field {tag.name}.")
        return value

    def find_u64(self, tag: Tag, *, most: int = 2**64 - 1) -> int | None:
        """Return an optional number, at most `most`."""
        value = self._number(tag, _U64)
        if value is not None and value > most:
            raise GuestProtocolError(f"The guest's field {tag.name} is out of range: {value}.")
        return value

    def i64(self, tag: Tag) -> int:
        """Return a required signed number."""
        value = self.find_i64(tag)
        if value is None:
            raise GuestProtocolError(f"The guest sent no field {tag.name}.")
        return value

    def find_i64(self, tag: Tag) -> int | None:
        """Return an optional signed number."""
        return self._number(tag, _I64)

    def _number(self, tag: Tag, shape: struct.Struct) -> int | None:
        value = self.find(tag)
        if value is None:
            return None
        if len(value) != shape.size:
            raise GuestProtocolError(f"The guest's field {tag.name} is not 8 bytes.")
        return int(shape.unpack(value)[0])


def parse_fields(untrusted: bytes | memoryview) -> Fields:
    """Return the fields of a payload (at most 32768 bytes).

    Raises:
        GuestProtocolError: a length does not fit.
    """
    values: dict[int, list[bytes]] = {}
    at = 0
    while at < len(untrusted):
        if len(untrusted) - at < _HEAD.size:
            raise GuestProtocolError("The guest sent a field that is cut off.")
        tag, length = _HEAD.unpack_from(untrusted, at)
        at += _HEAD.size
        if length > len(untrusted) - at:
            raise GuestProtocolError("The guest sent a field that is longer than its frame.")
        values.setdefault(tag, []).append(bytes(untrusted[at : at + length]))
        at += length
    return Fields(values)


def encode_fields(fields: Iterable[tuple[Tag, bytes]]) -> bytes:
    """Return the fields as bytes, in order; their values are already encoded."""
    return b"".join(_HEAD.pack(tag, len(value)) + value for tag, value in fields)


def u64(number: int) -> bytes:
    """Return a `u64` value."""
    return _U64.pack(number)


def i64(number: int) -> bytes:
    """Return an `i64` value."""
    return _I64.pack(number)


def text(value: str) -> bytes:
    """Return a `text` value.

    Raises:
        InvalidRequest: the text contains a NUL or is not Unicode.
    """
    try:
        return name(value.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{value!r} is not valid Unicode.") from error


def name(value: bytes) -> bytes:
    """Return a `bytes` value that names a path, argument or variable.

    Raises:
        InvalidRequest: the value contains a NUL, which no path, argument or variable can.
    """
    if b"\0" in value:
        raise InvalidRequest(f"A NUL byte cannot be part of a name or argument: {value[:80]!r}.")
    return value
