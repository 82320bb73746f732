"""Files that a copy leaves out because of their kind: counted, and the first ones named."""

from __future__ import annotations

NAMED_MAX = 10


class LeftOut:
    """What was left out so far."""

    def __init__(self) -> None:
        self.count = 0
        self.named: list[tuple[bytes, str]] = []
        """Name and kind of the first ones."""

    def add(self, name: bytes, kind: str) -> None:
        """Count a file."""
        self.count += 1
        if len(self.named) < NAMED_MAX:
            self.named.append((name, kind))
