"""Sessions of a VM: commands that keep running without a client."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Unpack, cast

from banger.errors import (
    DaemonUnreachable,
    OutcomeUnknown,
    SessionEnded,
    SessionTakesNoInput,
)
from banger.sdk.aio.daemon import AsyncDaemon
from banger.sdk.aio.exchange import exchange
from banger.sdk.aio.process import AsyncProcess
from banger.sdk.aio.stream import AsyncStream
from banger.sdk.command import encode, returncode_of
from banger.sdk.options import CommandOptions, plan_session

if TYPE_CHECKING:
    from banger.api.documents import SessionView, StartedAttach

SIGKILL = 9


class AsyncSessions:
    """The sessions of a VM."""

    def __init__(self, daemon: AsyncDaemon, vm_id: str) -> None:
        self._daemon = daemon
        self._vm_id = vm_id

    async def start(
        self,
        argv: list[str],
        *,
        name: str | None = None,
        stdin: bool = False,
        terminal: tuple[int, int] | None = None,
        **options: Unpack[CommandOptions],
    ) -> AsyncSession:
        """Start a command that keeps running when this program, or the daemon, ends.

        With `stdin` it takes input; with `terminal` (rows, columns) it has one.

        Raises:
            SessionExists: the name is taken, also by one that has ended.
            ExecNotFound, ExecNotExecutable: the VM has no such program.
        """
        params = plan_session(
            self._vm_id, argv, name=name, stdin=stdin, terminal=terminal, **options
        )
        made = await self._daemon.call("session.start", params)
        return AsyncSession(self._daemon, self._vm_id, made["name"])

    async def list(self) -> list[AsyncSession]:
        """Return all sessions, oldest first."""
        views = await self._daemon.call("session.list", {"ref": self._vm_id})
        return [AsyncSession(self._daemon, self._vm_id, view["name"]) for view in views]

    async def get(self, name: str) -> AsyncSession:
        """Return the session of this name.

        Raises:
            SessionNotFound: there is none.
        """
        view = await self._daemon.call("session.show", {"ref": self._vm_id, "name": name})
        return AsyncSession(self._daemon, self._vm_id, view["name"])


class AsyncSession:
    """A session; its VM's agent keeps its newest output, and how it ended."""

    def __init__(self, daemon: AsyncDaemon, vm_id: str, name: str) -> None:
        self._daemon = daemon
        self._ref = vm_id
        self.name = name

    def __repr__(self) -> str:
        return f"AsyncSession({self.name!r}, vm_id={self._ref!r})"

    async def show(self) -> SessionView:
        """Return the state of the session, as reported by the VM now."""
        return await self._daemon.call("session.show", {"ref": self._ref, "name": self.name})

    async def logs(
        self, *, follow: bool = False, tail: int | None = None, since: float | None = None
    ) -> AsyncIterator[tuple[int, bytes]]:
        """Yield what it has written: 1 (stdout) or 2 (stderr), and the bytes.

        With `follow` also what it will write, up to its end, whatever becomes of the daemon
        meanwhile; with `tail` from the last lines on; `since` a time (Unix).
        """
        params: dict[str, object] = {"tail": tail, "since": since}
        while True:
            where = {"ref": self._ref, "name": self.name, "follow": follow, **params}
            async with await self._daemon.open("session.attach", where) as stream:
                start = cast("StartedAttach", stream.result)["position"]
                try:
                    async for piece in stream:
                        yield piece
                except DaemonUnreachable:
                    # A position counts received bytes, so the next daemon continues there.
                    params = {"position": start + stream.passed}
                else:
                    return

    async def attach(self, *, tail: int | None = None, stdin: bool = True) -> AsyncProcess:
        """Read what it has written and will write, and write to it; a block of one program.

        The end of the block does not end the session. After a daemon died the next one continues.

        Raises:
            SessionBusy: another program writes to it.
            SessionTakesNoInput, SessionEnded: it can only be read, with `stdin=False`.
        """
        params = {"ref": self._ref, "name": self.name, "stdin": stdin}
        stream = await self._daemon.open("session.attach", {**params, "tail": tail})
        return AsyncAttachment(stream, self._daemon, params)

    async def send(self, data: str | bytes, *, end_input: bool = False) -> None:
        """Write to it, and return when it has taken all; `end_input` closes its input.

        Raises:
            SessionBusy, SessionTakesNoInput, SessionEnded: it cannot be written to.
        """
        params = {"ref": self._ref, "name": self.name, "end_input": end_input}
        await exchange(self._daemon, "session.send", params, encode(data))

    async def signal(self, number: int) -> None:
        """Send a signal to its process group.

        Raises:
            SessionEnded: it has ended.
        """
        await self._daemon.call(
            "session.signal", {"ref": self._ref, "name": self.name, "signal": number}
        )

    async def kill(self) -> None:
        """End it, and all that it has started, at once.

        Raises:
            SessionEnded: it has ended.
        """
        await self.signal(SIGKILL)

    async def stop(self, *, deadline: float = 10.0) -> None:
        """Ask it to end, and kill it after so many seconds; do nothing if it has ended."""
        await self._daemon.call(
            "session.stop", {"ref": self._ref, "name": self.name, "deadline_s": deadline}
        )

    async def wait(self) -> int:
        """Return how it ended, when it has: the exit status, or -N for signal N."""
        view = await self._daemon.call("session.wait", {"ref": self._ref, "name": self.name})
        return returncode_of({"status": view["status"] or 0, "signal": view["signal"] or 0})

    async def delete(self, *, force: bool = False) -> None:
        """Forget it and its output; `force` kills it if it runs.

        Raises:
            SessionRunning: it runs.
        """
        await self._daemon.call(
            "session.delete", {"ref": self._ref, "name": self.name, "force": force}
        )


class AsyncAttachment(AsyncProcess):
    """An attached session, across restarts of the daemon.

    The next daemon gets the size of the terminal again. Input and signals are not sent again: the
    next read, write or wait raises OutcomeUnknown, once, since some of them may be lost.
    """

    def __init__(
        self, stream: AsyncStream, daemon: AsyncDaemon, params: Mapping[str, object]
    ) -> None:
        super().__init__(stream, cast("StartedAttach", stream.result)["session"]["pid"])
        self._daemon = daemon
        self._params = dict(params)
        self._has_signalled = False

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield output as it comes: 1 (stdout) or 2 (stderr), and the bytes; up to the end.

        Raises:
            OutcomeUnknown: a daemon died, perhaps before it took all input. Iterate again.
        """
        while True:
            try:
                async for piece in super().__aiter__():
                    yield piece
            except DaemonUnreachable:
                await self._attach_again()
            else:
                return

    async def write(self, data: str | bytes) -> None:
        """Send input, at the pace at which it is read; after the end it is dropped.

        Raises:
            OutcomeUnknown: the daemon died meanwhile. What was sent has been taken, or not.
        """
        await super().write(data)
        if isinstance(self._stream.failure, DaemonUnreachable):
            await self._attach_again()
            raise _unknown()

    def close_input(self) -> None:
        """Write no more, so that another program may; the session's input stays open."""
        self._params["stdin"] = False
        super().close_input()

    def send_signal(self, number: int) -> None:
        """Send a signal to the session's process group."""
        self._has_signalled = True
        super().send_signal(number)

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the terminal."""
        self._params["terminal"] = {"rows": rows, "columns": columns}
        super().resize(rows, columns)

    async def wait(self) -> int:
        """Return how it ended; its output is kept meanwhile, at most 64 MiB.

        Raises:
            Cancelled: the block has ended before the session.
            OutcomeUnknown: a daemon died, perhaps before it took all input. Wait again to continue.
        """
        while True:
            with contextlib.suppress(DaemonUnreachable):
                return await super().wait()
            await self._attach_again()

    async def _attach_again(self) -> None:
        """Go on where the last daemon was cut off: positions count what came.

        Raises:
            OutcomeUnknown: input or a signal may be lost.
        """
        old = self._stream
        self._params["position"] = cast("StartedAttach", old.result)["position"] + old.passed
        try:
            self._stream = await self._daemon.open("session.attach", self._params)
        except (SessionEnded, SessionTakesNoInput):
            self._params["stdin"] = False
            self._stream = await self._daemon.open("session.attach", self._params)
        self._stream.take_over(old)
        has_signalled, self._has_signalled = self._has_signalled, False
        if old.untaken_bytes or (has_signalled and old.is_cut_off):
            raise _unknown()


def _unknown() -> OutcomeUnknown:
    return OutcomeUnknown("The daemon went away while input was sent.")
