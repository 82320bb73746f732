"""Sessions of a VM: commands that go on whoever is connected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Unpack, cast

from banger.errors import DaemonUnreachable
from banger.sdk.aio.daemon import AsyncDaemon
from banger.sdk.aio.exchange import exchange
from banger.sdk.aio.process import AsyncProcess
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
        """Start a command that goes on when this program, or the daemon, has gone.

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
        """Return what the VM tells of the session now."""
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
                    # Positions count what came, so the next daemon goes on where this one ended.
                    params = {"position": start + stream.passed}
                else:
                    return

    async def attach(self, *, tail: int | None = None, stdin: bool = True) -> AsyncProcess:
        """Read what it has written and will write, and write to it; a block of one program.

        The end of the block does not end the session.

        Raises:
            SessionBusy: another program writes to it.
            SessionTakesNoInput, SessionEnded: it can only be read, with `stdin=False`.
        """
        params = {"ref": self._ref, "name": self.name, "tail": tail, "stdin": stdin}
        stream = await self._daemon.open("session.attach", params)
        return AsyncProcess(stream, cast("StartedAttach", stream.result)["session"]["pid"])

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
