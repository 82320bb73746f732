"""The progress of a copy, and the files that were left out of it."""

from __future__ import annotations

import os
import time

from banger.cli.terminal.output import printable
from banger.cli.terminal.progress import Stages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from banger.tar.leftout import LeftOut

REDRAW_S = 0.1


class CopyBar:
    """Shows how much has been copied, during a block."""

    def __init__(self, *, quiet: bool) -> None:
        self._stages = Stages(quiet=quiet)
        self._done = 0
        self._drawn_at = 0.0
        self.total: int | None = None
        """Bytes in all; None: unknown."""
        self.is_live = self._stages.is_live
        """Whether a total would be seen."""

    def __enter__(self) -> CopyBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stages.end()

    def add(self, size: int) -> None:
        """Count bytes that were copied."""
        self._done += size
        now = time.monotonic()
        if now - self._drawn_at >= REDRAW_S:
            self._drawn_at = now
            self._stages.copied(self._done, self.total)


def say_left_out(left_out: LeftOut, say: Callable[[str], None]) -> None:
    """Name the files that were not copied because of their kind."""
    for name, kind in left_out.named:
        say(f"not copied: {printable(os.fsdecode(name))} is {kind}")
    if left_out.count > len(left_out.named):
        more = left_out.count - len(left_out.named)
        say(f"not copied: {more} more")
