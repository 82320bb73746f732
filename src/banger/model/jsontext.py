"""JSON of our own that may hold host paths: any bytes of a file name survive.

Python reads a byte that is not UTF-8 as a lone surrogate, which `msgspec` neither writes nor reads;
the standard library does both. It is slower, and so asked only for those. Pure.
"""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

T = TypeVar("T")


def encode_json(value: object) -> bytes:
    """Return the JSON of a value of ours, on one line."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode("ascii")


def decode_json(text: bytes, kind: type[T]) -> T:
    """Return what `encode_json` wrote.

    Raises:
        msgspec.DecodeError: the text is not that.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if b"\\ud" not in text:
            raise
        return msgspec.convert(_load(text), kind)


def _load(text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
