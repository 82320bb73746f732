"""A VM, for calls that wait.

Made by `make docs` from `sdk/aio/vm.py`; do not edit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Unpack, cast, overload

from banger.errors import VmNotFound
from banger.sdk.command import CompletedProcess, OnOutput, decode, encode
from banger.sdk.options import RunOptions, plan_run
from banger.sdk.sync.daemon import Daemon
from banger.sdk.sync.exchange import exchange

if TYPE_CHECKING:
    from banger.api.documents import (
        ExportedBranch,
        Listener,
        StartedExec,
        VmFork,
        VmView,
    )
    from banger.sdk.sync.files import Files
    from banger.sdk.sync.process import Process
    from banger.sdk.sync.sessions import Sessions
    from banger.sdk.sync.workspace import Workspace


class Vm:
    """A VM; its name may change, its ID does not."""

    def __init__(self, daemon: Daemon, view: VmView) -> None:
        self._daemon = daemon
        self.id = view["id"]
        self.name = view["name"]

    def __repr__(self) -> str:
        return f"Vm({self.name!r}, id={self.id!r})"

    def show(self) -> VmView:
        """Return the state of the VM, as reported by the daemon now."""
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
        output = exchange(self._daemon, "vm.exec", params, data, on_output=on_output)
        done = output.complete(argv)
        shown = decode(done) if text else done
        if check:
            shown.check_returncode()
        return shown

    @contextlib.contextmanager
    def popen(
        self, argv: list[str], *, stdin: bool = False, **options: Unpack[RunOptions]
    ) -> Iterator[Process]:
        """Run a command for a block: read its output as it comes, write to it, send signals.

        The end of the block kills it, if it still runs, with what it has started.

        Raises:
            ExecNotFound, ExecNotExecutable: the VM has no such program.
        """
        from banger.sdk.sync.process import Process

        params = plan_run(self.id, argv, stdin=stdin, **options)
        stream = self._daemon.open("vm.exec", params)
        with Process(stream, cast("StartedExec", stream.result)["pid"]) as process:
            yield process

    # Imported on use, here and above: few programs need all of them.

    @property
    def files(self) -> Files:
        """Read, write, list and watch files."""
        from banger.sdk.sync.files import Files

        return Files(self._daemon, self.id)

    @property
    def sessions(self) -> Sessions:
        """Start and find commands that keep running without a client."""
        from banger.sdk.sync.sessions import Sessions

        return Sessions(self._daemon, self.id)

    @property
    def workspace(self) -> Workspace:
        """Look at and fetch what changed in the copy of `repo`."""
        from banger.sdk.sync.workspace import Workspace

        return Workspace(self._daemon, self.id)

    def read(self, path: str) -> bytes:
        """Call `files.read`."""
        return self.files.read(path)

    def write(self, path: str, data: str | bytes, *, mode: int = 0o644) -> None:
        """Call `files.write`."""
        self.files.write(path, data, mode=mode)

    @contextlib.contextmanager
    def fork(self, number: int = 1) -> Iterator[list[Vm]]:
        """Clone the VM as it is now, memory included, for the time of a block."""
        params: VmFork = {"ref": self.id, "number": number, "ephemeral": True}
        with self._daemon.open("vm.fork", params) as owner:
            views = cast("list[VmView]", owner.result)
            forks = [Vm(self._daemon, view) for view in views]
            try:
                yield forks
            finally:
                for each in forks:
                    with contextlib.suppress(VmNotFound):
                        each.delete()

    def snapshot(self, name: str | None = None) -> str:
        """Save memory and disk; return the snapshot's name. The VM keeps running."""
        made = self._daemon.call("snapshot.create", {"ref": self.id, "name": name})
        return made["name"]

    def restore(self, snapshot: str) -> None:
        """Go back to a snapshot; what came after it is lost."""
        self._daemon.call("snapshot.restore", {"ref": self.id, "name": snapshot})

    def ports(self) -> list[Listener]:
        """Return what listens in the VM, and where it appears on the host (`link`)."""
        return self._daemon.call("vm.ports", {"ref": self.id})

    def export_patch(self) -> bytes:
        """Call `workspace.export_patch`."""
        return self.workspace.export_patch()

    def export_branch(self, branch: str, *, include_uncommitted: bool = False) -> ExportedBranch:
        """Call `workspace.export_branch`."""
        return self.workspace.export_branch(branch, include_uncommitted=include_uncommitted)
