"""One operation: a request while it runs, as the engine's verbs see it.

An operation has an id that is in the log, in errors and in progress
notifications. A verb reports through it and never learns who listens: nothing,
a client's progress bar, or a test's list. Reports are cheap, may come from any
thread, are never waited for, and may be dropped when the listener is slow.

Pure but for the callback; owns no files and takes no locks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from banger.model.names import OperationId
from banger.model.progress import Part

OPERATION_ID_BYTES = 6

current_operation: ContextVar[str] = ContextVar("current_operation", default="-")
"""The id of the operation that this task or thread works for; log lines carry it."""

current_caller: ContextVar[Mapping[str, str] | None] = ContextVar("current_caller", default=None)
"""Variables of the sender of this task's request (`api.caller`); None: there is no request."""


@dataclass(frozen=True)
class Progress:
    """The operation is in `stage`; `done` of `total` where the stage can be counted."""

    stage: str
    done: int | None = None
    total: int | None = None
    parts: tuple[Part, ...] = ()
    """What is being worked at side by side; then `done` and `total` are bytes as well."""


@dataclass(frozen=True)
class Note:
    """One line that the user should see now: the decided spec, or a fall back."""

    kind: Literal["spec", "notice"]
    text: str


Report = Callable[[Progress | Note], None]


def _ignore(_: Progress | Note) -> None:
    """Ignore a report."""


@dataclass(frozen=True)
class Operation:
    """One request while it runs."""

    id: OperationId
    method: str
    started_at: float
    report: Report = field(default=_ignore, repr=False, compare=False)

    def progress(
        self,
        stage: str,
        done: int | None = None,
        total: int | None = None,
        parts: tuple[Part, ...] = (),
    ) -> None:
        """Say what is being done now; a new stage ends the one before it."""
        self.report(Progress(stage, done, total, parts))

    def note(self, kind: Literal["spec", "notice"], text: str) -> None:
        """Show the user one line: `spec` before a VM is made, `notice` for the unexpected."""
        self.report(Note(kind, text))


def format_operation_id(random_bytes: bytes) -> OperationId:
    """Return the id for `OPERATION_ID_BYTES` random bytes."""
    return OperationId("op-" + random_bytes.hex())
