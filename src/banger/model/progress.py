"""How far a stage of an operation is, and its parts where they go on side by side. Pure."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Part(Struct, frozen=True):
    """One of the parts that are being worked at, such as a layer that is on its way; in bytes."""

    name: str
    done: int
    total: int


class Progress(Protocol):
    """Tell how far a stage is; counts are of whatever the stage counts. On the event loop."""

    def __call__(
        self,
        stage: str,
        done: int | None = None,
        total: int | None = None,
        parts: tuple[Part, ...] = (),
        /,
    ) -> None:
        """Report."""
