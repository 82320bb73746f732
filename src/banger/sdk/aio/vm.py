"""A VM, for programs with an asyncio loop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal, Unpack, cast, overload

from banger.errors import VmNotFound
from banger.sdk.aio.daemon import AsyncDaemon
from banger.sdk.command import CompletedProcess, OnOutput, decode, encode
from banger.sdk.files import plan_read, plan_write, unpack_file
from banger.sdk.options import RunOptions, plan_run

if TYPE_CHECKING:
    from banger.api.documents import (
        ExportedBranch,
        Listener,
        VmFork,
        VmView,
        WorkspaceExportBranch,
    )


class AsyncVm:
    """A VM; its name may change, its ID does not."""

    def __init__(self, daemon: AsyncDaemon, view: VmView) -> None:
        self._daemon = daemon
        self.id = view["id"]
        self.name = view["name"]

    def __repr__(self) -> str:
        return f"AsyncVm({self.name!r}, id={self.id!r})"

    async def show(self) -> VmView:
        """Return what the daemon tells of the VM now."""
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
        """Run a command to its end, as `Vm.run` does; cancelling kills the command."""
        data = encode(input)
        params = plan_run(self.id, argv, stdin=data is not None, **options)
        output = await self._daemon.exchange("vm.exec", params, data, on_output=on_output)
        done = output.complete(argv)
        shown = decode(done) if text else done
        if check:
            shown.check_returncode()
        return shown

    async def read(self, path: str) -> bytes:
        """Return the content of a file in the VM, at most 64 MiB.

        Raises:
            GuestPathNotFound: there is none.
            GuestRefused: the path is no file.
        """
        output = await self._daemon.exchange("vm.copy_out", plan_read(self.id, path))
        return unpack_file(output.stdout, path)

    async def write(self, path: str, data: str | bytes, *, mode: int = 0o644) -> None:
        """Make or replace a file in the VM, whose directory is there."""
        params, archive = plan_write(self.id, path, data, mode=mode)
        await self._daemon.exchange("vm.copy_in", params, archive)

    @contextlib.asynccontextmanager
    async def fork(self, number: int = 1) -> AsyncIterator[list[AsyncVm]]:
        """Clone the VM as it is now, memory included, for the time of a block."""
        params: VmFork = {"ref": self.id, "number": number, "ephemeral": True}
        with contextlib.closing(await self._daemon.open("vm.fork", params)) as owner:
            views = cast("list[VmView]", owner.result)
            forks = [AsyncVm(self._daemon, view) for view in views]
            try:
                yield forks
            finally:
                for each in forks:
                    with contextlib.suppress(VmNotFound):
                        await each.delete()

    async def snapshot(self, name: str | None = None) -> str:
        """Save memory and disk; return the snapshot's name. The VM goes on."""
        made = await self._daemon.call("snapshot.create", {"ref": self.id, "name": name})
        return made["name"]

    async def restore(self, snapshot: str) -> None:
        """Go back to a snapshot; what came after it is lost."""
        await self._daemon.call("snapshot.restore", {"ref": self.id, "name": snapshot})

    async def ports(self) -> list[Listener]:
        """Return what listens in the VM, and where it appears on the host (`link`)."""
        return await self._daemon.call("vm.ports", {"ref": self.id})

    async def export_patch(self) -> bytes:
        """Return all changes of the workspace since it was copied in, as one patch."""
        output = await self._daemon.exchange("workspace.export", {"ref": self.id})
        return output.stdout

    async def export_branch(
        self, branch: str, *, include_uncommitted: bool = False
    ) -> ExportedBranch:
        """Fetch the VM's commits into a branch of the repository that was copied in."""
        params: WorkspaceExportBranch = {
            "ref": self.id,
            "branch": branch,
            "include_uncommitted": include_uncommitted,
        }
        return await self._daemon.call("workspace.export_branch", params)
