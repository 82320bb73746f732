"""The synchronous client."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Unpack, overload

from banger.client import Client as Connection
from banger.client.upload import upload
from banger.errors import VmNotFound
from banger.layout import layout_from_environment
from banger.sdk.command import CompletedProcess, Output, decode, encode
from banger.sdk.options import RunOptions, VmOptions, plan_run, plan_vm, plan_workspace

if TYPE_CHECKING:
    from banger.api.documents import VmView
    from banger.client.calls import Call


class Client:
    """The daemon of this user, which is started if none runs."""

    def __init__(self, *, autostart: bool = True) -> None:
        self._layout = layout_from_environment(os.environ)
        self._autostart = autostart

    @property
    def call(self) -> Call:
        """Any method of the API by its name: `client.call("vm.list")`. Not for streams."""
        return self._request

    if not TYPE_CHECKING:

        def _request(self, *args: object, **options: object) -> object:
            with self.connect() as connection:
                return connection.call(*args, **options)

    else:
        _request: Call

    def connect(self) -> Connection:
        """Return a connection, for streams of the API, and for VMs that live as long as it."""
        return Connection(self._layout, autostart=self._autostart)

    @contextlib.contextmanager
    def vm(self, **options: Unpack[VmOptions]) -> Iterator[Vm]:
        """Make a VM for the time of a block, and delete it then.

        Raises:
            BangerError: the VM could not be made, or its repository not be copied.
        """
        with self.connect() as owner:
            made = Vm(self, owner.call("vm.create", plan_vm(options, ephemeral=True)))
            try:
                self._prepare(made, options)
                yield made
            finally:
                with contextlib.suppress(VmNotFound):
                    made.delete()

    def create(self, **options: Unpack[VmOptions]) -> Vm:
        """Make a VM that stays.

        Raises:
            BangerError: as of `vm`; a VM whose repository could not be copied is deleted.
        """
        made = Vm(self, self.call("vm.create", plan_vm(options, ephemeral=False)))
        try:
            self._prepare(made, options)
        except BaseException:
            made.delete()
            raise
        return made

    def get(self, ref: str) -> Vm:
        """Return a VM by its name, its ID, or a unique prefix of either.

        Raises:
            VmNotFound, VmAmbiguous: there is none, or there are several.
        """
        return Vm(self, self.call("vm.show", {"ref": ref}))

    def list(self) -> list[Vm]:
        """Return all VMs, oldest first."""
        return [Vm(self, view) for view in self.call("vm.list")]

    def _prepare(self, vm: Vm, options: VmOptions) -> None:
        if (params := plan_workspace(options, vm.id)) is not None:
            self.call("workspace.prepare", params)


class Vm:
    """A VM; its name may change, its ID does not."""

    def __init__(self, client: Client, view: VmView) -> None:
        self._client = client
        self.id = view["id"]
        self.name = view["name"]

    def __repr__(self) -> str:
        return f"Vm({self.name!r}, id={self.id!r})"

    def show(self) -> VmView:
        """Return what the daemon tells of the VM now."""
        return self._client.call("vm.show", {"ref": self.id})

    def delete(self) -> None:
        """Delete the VM and its disk, running or not."""
        self._client.call("vm.delete", {"ref": self.id})

    @overload
    def run(
        self,
        argv: list[str],
        *,
        input: str | bytes | None = None,
        check: bool = False,
        text: Literal[True] = True,
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
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[bytes]: ...
    def run(
        self,
        argv: list[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 - as of `subprocess.run`
        check: bool = False,
        text: bool = True,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[str] | CompletedProcess[bytes]:
        """Run a command to its end, and return its exit status and what it wrote.

        Without `input` it reads /dev/null. The bytes of both outputs are kept in memory.

        Raises:
            CommandFailed: with `check`, the exit status is not 0.
            DeadlineExceeded: the command was killed after `timeout`.
            ExecNotFound, ExecNotExecutable: the VM has no such program.
            OutcomeUnknown: the connection broke; the command is killed, if it had begun.
        """
        done = self._run(argv, encode(input), **options)
        shown = decode(done) if text else done
        if check:
            shown.check_returncode()
        return shown

    def _run(
        self, argv: list[str], data: bytes | None, **options: Unpack[RunOptions]
    ) -> CompletedProcess[bytes]:
        params = plan_run(self.id, argv, stdin=data is not None, **options)
        output = Output()
        with self._client.connect() as connection:
            stream = connection.stream("vm.exec", params)
        with contextlib.closing(stream):
            if data is not None:
                exit_ = upload(stream, iter([data]), on_output=output.take)
                return output.complete(argv, exit_)
            for channel, untrusted_data in stream:
                output.take(channel, untrusted_data)
            return output.complete(argv, stream.require_exit())
