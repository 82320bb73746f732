"""What is true of a VM only while this daemon lives: locks and the guest connection.

Locks (order L1..L5, downwards only; `docs/architecture.md` has the whole table):

- L2, `VmRuntime.lifecycle`: one start, stop, set or delete of a VM at a time. It
  is not waited for: a second verb is refused and told which operation holds
  it. `kill` and `delete` instead end the holder and wait for its undoing,
  which is bounded. Never held across guest I/O whose length the user controls.
- L3, `VmRuntime.workspace`: one prepare, export or commit at a time, waited for in turn
  and cancellable. Taken only when L2 is not held (hazard C1).

If the daemon dies all of this is gone, and recovery makes it anew from rows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from banger.engine.state.history import History
from banger.engine.state.operations import Operation
from banger.errors import Cancelled, GuestGone, VmBusy
from banger.forwards import PortForwards
from banger.guest import GuestConnection, takes_ipv6
from banger.host.attachments import Attachment
from banger.host.identity import ProcessIdentity
from banger.model.names import OperationId
from banger.model.vm import VmState


class LifecycleLock:
    """Lock L2 of one VM: held by one operation, which can be asked to give way."""

    def __init__(self) -> None:
        self._holder: Operation | None = None
        self._task: asyncio.Task[object] | None = None
        self._preempted_by: Operation | None = None
        self._free = asyncio.Event()
        self._free.set()

    @property
    def holder(self) -> Operation | None:
        """The operation in progress, if any."""
        return self._holder

    @contextlib.asynccontextmanager
    async def hold(
        self, op: Operation, *, preempt: bool = False, wait: bool = False
    ) -> AsyncIterator[None]:
        """Hold the lock for a block.

        With `preempt` the operation that has it is cancelled and its undoing awaited; with
        `wait`, which is for the engine's own tasks, it is left to its end.

        Raises:
            VmBusy: it is held, and neither was asked for.
            Cancelled: a later operation took the lock away from this one.
        """
        while self._holder is not None:
            if preempt:
                await self._take_over(op)
            elif wait:
                await self._wait_free()
            else:
                raise VmBusy(
                    f"The VM is busy: {self._holder.method} is in progress "
                    f"(operation {self._holder.id}).",
                    retryable=True,
                )
        self._holder, self._task = op, asyncio.current_task()
        self._free.clear()
        try:
            yield
        except asyncio.CancelledError:
            if self._preempted_by is None or self._task is None:
                raise
            self._task.uncancel()
            raise Cancelled(f"{op.method} was ended by {self._preempted_by.method}.") from None
        finally:
            self._holder = self._task = self._preempted_by = None
            self._free.set()

    async def _wait_free(self) -> None:
        while self._holder is not None:
            await self._free.wait()

    async def _take_over(self, op: Operation) -> None:
        if self._preempted_by is None and self._task is not None:
            self._preempted_by = op
            self._task.cancel()
        await self._wait_free()


RESTART = "restart"
"""Handle kind that schedules an automatic restart (`restartpolicy`)."""

RESTARTING = "vm.start_again"
"""The method of the operation that restarts a VM."""


@dataclass(frozen=True)
class PendingOutcome:
    """An operation's outcome that could not be saved, as on a full disk (A10); see `outcome`."""

    operation: OperationId
    state: VmState
    error: str | None
    restart_row: bytes | None = None
    """Schedules the restart of a VM that ended by itself."""


@dataclass(frozen=True)
class PendingRestart:
    """A VM that ended by itself waits for its restart."""

    due_at: float
    """By the loop's clock."""
    task: asyncio.Task[None]


@dataclass
class VmRuntime:
    """One VM's momentary side."""

    lifecycle: LifecycleLock = field(default_factory=LifecycleLock)
    workspace: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: GuestConnection | None = None
    """Opened by a boot or by recovery; closed when the VM is ended."""
    connecting: asyncio.Lock = field(default_factory=asyncio.Lock)
    """So that two askers of a lost connection make one new one."""
    attendants: dict[str, asyncio.Task[object]] = field(default_factory=dict)
    """The attendants of the VM, by name; `became` starts and ends them."""
    vmm: ProcessIdentity | None = None
    """Its VMM, while it has attendants."""
    history: History = field(default_factory=History)
    """What it took since the daemon's start, over all its runs."""
    attachment: Attachment | None = None
    """The network's end for a VMM that is about to be spawned."""
    ending_since: float = 0.0
    """When the last stop began, by the loop's clock: its steps share one deadline (A2)."""
    flush_confirmed: bool = True
    """False: the last stop could not confirm that the guest's data was flushed (A1)."""
    restart: PendingRestart | None = None
    """The restart of a VM that ended by itself."""
    answers: bool | None = None
    """Whether its agent answered when it was last asked; None: it was not, since its start."""
    question: asyncio.Task[None] | None = None
    """It is being asked at this moment."""
    used_at: float | None = None
    """When it was last seen in use, by the loop's clock, CLOCK_MONOTONIC; None: not looked yet."""
    cpu_seen: tuple[float, float] = (0.0, 0.0)
    """When its VMM's processor time was last looked at, and what that was then, in seconds."""
    warned_by: str | None = None
    """Why the VM is about to end, if its user has got a notice of that."""
    ports: PortForwards | None = None
    """Its ports on the host, while its attendant keeps them."""
    console_taken: bool = False
    """A client is at the serial console."""
    pending_outcome: PendingOutcome | None = None
    """The true state, while the record cannot be written."""

    @property
    def has_ipv6(self) -> bool:
        """Whether the guest takes an IPv6 address; False while its agent is not reached."""
        return self.connection is not None and takes_ipv6(self.connection)


@contextlib.asynccontextmanager
async def hold_workspace(runtime: VmRuntime, op: Operation) -> AsyncIterator[None]:
    """Hold L3; say so if it has to be waited for."""
    if runtime.workspace.locked():
        op.progress("wait for another workspace operation of this VM")
    async with runtime.workspace:
        yield


async def close_connection(runtime: VmRuntime) -> None:
    """Close the connection to a guest, if there is one; all its waits raise GuestGone."""
    connection, runtime.connection = runtime.connection, None
    if connection is not None:
        connection.fail(GuestGone("The VM has ended.", hint="banger vm list"))
        await connection.close()
