"""Progress of a stage of an operation, and of its parallel parts. Pure."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class Part(Struct, frozen=True):
    """A part of a stage that is in progress, such as a layer's download; counts are bytes."""

    name: str
    done: int
    total: int


class Progress(Protocol):
    """Report a stage's progress, in the unit that the stage counts. Call on the event loop."""

    def __call__(
        self,
        stage: str,
        done: int | None = None,
        total: int | None = None,
        parts: tuple[Part, ...] = (),
        /,
    ) -> None:
        """Report."""
