"""A VM, for calls that wait."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Unpack, overload

from banger.errors import VmNotFound
from banger.sdk.command import CompletedProcess, OnOutput, decode, encode
from banger.sdk.files import plan_read, plan_write, unpack_file
from banger.sdk.options import RunOptions, plan_run
from banger.sdk.sync.daemon import Daemon

if TYPE_CHECKING:
    from banger.api.documents import (
        ExportedBranch,
        Listener,
        VmFork,
        VmView,
        WorkspaceExportBranch,
    )


class Vm:
    """A VM; its name may change, its ID does not."""

    def __init__(self, daemon: Daemon, view: VmView) -> None:
        self._daemon = daemon
        self.id = view["id"]
        self.name = view["name"]

    def __repr__(self) -> str:
        return f"Vm({self.name!r}, id={self.id!r})"

    def show(self) -> VmView:
        """Return what the daemon tells of the VM now."""
        return self._daemon.call("vm.show", {"ref": self.id})

    def delete(self) -> None:
        """Delete the VM and its disk, running or not."""
        self._daemon.call("vm.delete", {"ref": self.id})

    @overload
    def run(
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
    def run(
        self,
        argv: list[str],
        *,
        input: str | bytes | None = None,
        check: bool = False,
        text: Literal[False],
        on_output: OnOutput | None = None,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[bytes]: ...
    def run(
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
        done = self._daemon.exchange("vm.exec", params, data, on_output=on_output).complete(argv)
        shown = decode(done) if text else done
        if check:
            shown.check_returncode()
        return shown

    def read(self, path: str) -> bytes:
        """Return the content of a file in the VM, at most 64 MiB.

        Raises:
            GuestPathNotFound: there is none.
            GuestRefused: the path is no file.
        """
        output = self._daemon.exchange("vm.copy_out", plan_read(self.id, path))
        return unpack_file(output.stdout, path)

    def write(self, path: str, data: str | bytes, *, mode: int = 0o644) -> None:
        """Make or replace a file in the VM, whose directory is there."""
        params, archive = plan_write(self.id, path, data, mode=mode)
        self._daemon.exchange("vm.copy_in", params, archive)

    @contextlib.contextmanager
    def fork(self, number: int = 1) -> Iterator[list[Vm]]:
        """Clone the VM as it is now, memory included, for the time of a block."""
        params: VmFork = {"ref": self.id, "number": number, "ephemeral": True}
        with self._daemon.connect() as owner:
            forks = [Vm(self._daemon, view) for view in owner.call("vm.fork", params)]
            try:
                yield forks
            finally:
                for each in forks:
                    with contextlib.suppress(VmNotFound):
                        each.delete()

    def snapshot(self, name: str | None = None) -> str:
        """Save memory and disk; return the snapshot's name. The VM goes on."""
        return self._daemon.call("snapshot.create", {"ref": self.id, "name": name})["name"]

    def restore(self, snapshot: str) -> None:
        """Go back to a snapshot; what came after it is lost."""
        self._daemon.call("snapshot.restore", {"ref": self.id, "name": snapshot})

    def ports(self) -> list[Listener]:
        """Return what listens in the VM, and where it appears on the host (`link`)."""
        return self._daemon.call("vm.ports", {"ref": self.id})

    def export_patch(self) -> bytes:
        """Return all changes of the workspace since it was copied in, as one patch."""
        return self._daemon.exchange("workspace.export", {"ref": self.id}).stdout

    def export_branch(self, branch: str, *, include_uncommitted: bool = False) -> ExportedBranch:
        """Fetch the VM's commits into a branch of the repository that was copied in."""
        params: WorkspaceExportBranch = {
            "ref": self.id,
            "branch": branch,
            "include_uncommitted": include_uncommitted,
        }
        return self._daemon.call("workspace.export_branch", params)
