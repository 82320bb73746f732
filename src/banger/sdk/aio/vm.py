"""A VM, for programs with an asyncio loop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal, Unpack, cast, overload

from banger.errors import VmNotFound
from banger.sdk.aio.daemon import AsyncDaemon
from banger.sdk.aio.exchange import exchange
from banger.sdk.command import CompletedProcess, OnOutput, decode, encode
from banger.sdk.options import RunOptions, plan_run

if TYPE_CHECKING:
    from banger.api.documents import (
        ExportedBranch,
        Listener,
        StartedExec,
        VmFork,
        VmView,
    )
    from banger.sdk.aio.files import AsyncFiles
    from banger.sdk.aio.process import AsyncProcess
    from banger.sdk.aio.sessions import AsyncSessions
    from banger.sdk.aio.workspace import AsyncWorkspace


class AsyncVm:
    """A VM; its name may change, its ID does not."""

    def __init__(self, daemon: AsyncDaemon, view: VmView) -> None:
        self._daemon = daemon
        self.id = view["id"]
        self.name = view["name"]

    def __repr__(self) -> str:
        return f"AsyncVm({self.name!r}, id={self.id!r})"

    async def show(self) -> VmView:
        """Return the state of the VM, as reported by the daemon now."""
        return await self._daemon.call("vm.show", {"ref": self.id})

    async def delete(self) -> None:
        """Delete the VM and its disk, running or not."""
        await self._daemon.call("vm.delete", {"ref": self.id})

    @overload
    async def run(
        self,
        argv: list[str],
        *,
        input: str | bytes | None = None,
        check: bool = False,
        text: Literal[True] = True,
        on_output: OnOutput | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[str]: ...
    @overload
    async def run(
        self,
        argv: list[str],
        *,
        input: str | bytes | None = None,
        check: bool = False,
        text: Literal[False],
        on_output: OnOutput | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[bytes]: ...
    async def run(
        self,
        argv: list[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 - as of `subprocess.run`
        check: bool = False,
        text: bool = True,
        on_output: OnOutput | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[str] | CompletedProcess[bytes]:
        """Run a command to its end, and return its exit status and what it wrote.

        Without `input` it reads /dev/null. Both outputs are kept in memory, unless `on_output` is
        given: it is called with each piece as it comes, and the channel (1: stdout, 2: stderr).

        Raises:
            CommandFailed: with `check`, the exit status is not 0.
            DeadlineExceeded: the command was killed after `timeout`.
            ExecNotFound, ExecNotExecutable: the VM has no such program.
            OutcomeUnknown: the connection broke; the command is killed, if it had begun.
        """
        data = encode(input)
        params = plan_run(self.id, argv, stdin=data is not None, **options)
        output = await exchange(self._daemon, "vm.exec", params, data, on_output=on_output)
        done = output.complete(argv)
        shown = decode(done) if text else done
        if check:
            shown.check_returncode()
        return shown

    @contextlib.asynccontextmanager
    async def popen(
        self, argv: list[str], *, stdin: bool = False, **options: Unpack[RunOptions]
    ) -> AsyncIterator[AsyncProcess]:
        """Run a command for a block: read its output as it comes, write to it, send signals.

        The end of the block kills it, if it still runs, with what it has started.

        Raises:
            ExecNotFound, ExecNotExecutable: the VM has no such program.
        """
        from banger.sdk.aio.process import AsyncProcess

        params = plan_run(self.id, argv, stdin=stdin, **options)
        stream = await self._daemon.open("vm.exec", params)
        async with AsyncProcess(stream, cast("StartedExec", stream.result)["pid"]) as process:
            yield process

    # Imported on use, here and above: few programs need all of them.

    @property
    def files(self) -> AsyncFiles:
        """Read, write, list and watch files."""
        from banger.sdk.aio.files import AsyncFiles

        return AsyncFiles(self._daemon, self.id)

    @property
    def sessions(self) -> AsyncSessions:
        """Start and find commands that keep running without a client."""
        from banger.sdk.aio.sessions import AsyncSessions

        return AsyncSessions(self._daemon, self.id)

    @property
    def workspace(self) -> AsyncWorkspace:
        """Look at and fetch what changed in the copy of `repo`."""
        from banger.sdk.aio.workspace import AsyncWorkspace

        return AsyncWorkspace(self._daemon, self.id)

    async def read(self, path: str) -> bytes:
        """Call `files.read`."""
        return await self.files.read(path)

    async def write(self, path: str, data: str | bytes, *, mode: int = 0o644) -> None:
        """Call `files.write`."""
        await self.files.write(path, data, mode=mode)

    @contextlib.asynccontextmanager
    async def fork(self, number: int = 1) -> AsyncIterator[list[AsyncVm]]:
        """Clone the VM as it is now, memory included, for the time of a block."""
        params: VmFork = {"ref": self.id, "number": number, "ephemeral": True}
        async with await self._daemon.open("vm.fork", params) as owner:
            views = cast("list[VmView]", owner.result)
            forks = [AsyncVm(self._daemon, view) for view in views]
            try:
                yield forks
            finally:
                for each in forks:
                    with contextlib.suppress(VmNotFound):
                        await each.delete()

    async def snapshot(self, name: str | None = None) -> str:
        """Save memory and disk; return the snapshot's name. The VM keeps running."""
        made = await self._daemon.call("snapshot.create", {"ref": self.id, "name": name})
        return made["name"]

    async def restore(self, snapshot: str) -> None:
        """Go back to a snapshot; what came after it is lost."""
        await self._daemon.call("snapshot.restore", {"ref": self.id, "name": snapshot})

    async def ports(self) -> list[Listener]:
        """Return what listens in the VM, and where it appears on the host (`link`)."""
        return await self._daemon.call("vm.ports", {"ref": self.id})

    async def export_patch(self) -> bytes:
        """Call `workspace.export_patch`."""
        return await self.workspace.export_patch()

    async def export_branch(
        self, branch: str, *, include_uncommitted: bool = False
    ) -> ExportedBranch:
        """Call `workspace.export_branch`."""
        return await self.workspace.export_branch(branch, include_uncommitted=include_uncommitted)
