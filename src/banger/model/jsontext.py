"""banger's own JSON, which may hold host paths: any bytes of a file name survive.

Python decodes a byte that is not UTF-8 to a lone surrogate, which `msgspec` neither writes nor
reads. The slower standard library does both, and is used only for texts with surrogates. Pure.
"""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec

T = TypeVar("T")


def encode_json(value: object) -> bytes:
    """Return a value as JSON on one line."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode("ascii")


def decode_json(text: bytes, kind: type[T]) -> T:
    """Parse a text that `encode_json` wrote.

    Raises:
        msgspec.DecodeError: the text is not JSON, or not of this type.
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
