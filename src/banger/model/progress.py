"""What a stage of an operation is made of, where its parts go on side by side. Pure."""

from __future__ import annotations

from msgspec import Struct


class Part(Struct, frozen=True):
    """One of the parts that are being worked at, such as a layer that is on its way; in bytes."""

    name: str
    done: int
    total: int
