"""The client for programs with an asyncio loop. Cancelling a task ends what it waits for."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal, Unpack, overload

from banger.api.stream import MAX_PAYLOAD_BYTES
from banger.client.aio import DaemonStream, adopt_socket, connect_stream, converse
from banger.client.connect import connect
from banger.client.conversation import Conversation
from banger.errors import BangerError, DaemonUnreachable, VmNotFound
from banger.layout import layout_from_environment
from banger.sdk.command import CompletedProcess, Output, decode, encode
from banger.sdk.options import RunOptions, VmOptions, plan_run, plan_vm, plan_workspace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from banger.api.documents import VmView
    from banger.client.calls import AsyncCall


class AsyncClient:
    """The daemon of this user, which is started if none runs."""

    def __init__(self, *, autostart: bool = True) -> None:
        self._layout = layout_from_environment(os.environ)
        self._autostart = autostart

    @property
    def call(self) -> AsyncCall:
        """Any method of the API by its name: `await client.call("vm.list")`. Not for streams."""
        return self._request

    if not TYPE_CHECKING:

        async def _request(self, method: str, params: Mapping[str, object] | None = None) -> object:
            with contextlib.closing(await self.open(method, params or {})) as stream:
                return stream.result

    else:
        _request: AsyncCall

    async def open(self, method: str, params: Mapping[str, object]) -> DaemonStream:
        """Call a method and keep the connection, for streams of the API."""
        conversation = Conversation(replaces=self._autostart, environ=os.environ)
        return await converse(conversation, self._connect, method, params)

    async def _connect(self) -> DaemonStream:
        try:
            return await connect_stream(self._layout.daemon_socket_name)
        except DaemonUnreachable:
            # This one also finds a daemon elsewhere, and says why there is none.
            sock = await asyncio.to_thread(connect, self._layout, autostart=self._autostart)
            return await adopt_socket(sock)

    @contextlib.asynccontextmanager
    async def vm(self, **options: Unpack[VmOptions]) -> AsyncIterator[AsyncVm]:
        """Make a VM for the time of a block, and delete it then.

        Raises:
            BangerError: the VM could not be made, or its repository not be copied.
        """
        params = plan_vm(options, ephemeral=True)
        with contextlib.closing(await self.open("vm.create", params)) as owner:
            made = AsyncVm(self, owner.result)  # type: ignore[arg-type]  # of `vm.create`
            try:
                await self._prepare(made, options)
                yield made
            finally:
                with contextlib.suppress(VmNotFound):
                    await made.delete()

    async def create(self, **options: Unpack[VmOptions]) -> AsyncVm:
        """Make a VM that stays.

        Raises:
            BangerError: as of `vm`; a VM whose repository could not be copied is deleted.
        """
        made = AsyncVm(self, await self.call("vm.create", plan_vm(options, ephemeral=False)))
        try:
            await self._prepare(made, options)
        except BaseException:
            await made.delete()
            raise
        return made

    async def get(self, ref: str) -> AsyncVm:
        """Return a VM by its name, its ID, or a unique prefix of either.

        Raises:
            VmNotFound, VmAmbiguous: there is none, or there are several.
        """
        return AsyncVm(self, await self.call("vm.show", {"ref": ref}))

    async def list(self) -> list[AsyncVm]:
        """Return all VMs, oldest first."""
        return [AsyncVm(self, view) for view in await self.call("vm.list")]

    async def _prepare(self, vm: AsyncVm, options: VmOptions) -> None:
        if (params := plan_workspace(options, vm.id)) is not None:
            await self.call("workspace.prepare", params)


class AsyncVm:
    """A VM; its name may change, its ID does not."""

    def __init__(self, client: AsyncClient, view: VmView) -> None:
        self._client = client
        self.id = view["id"]
        self.name = view["name"]

    def __repr__(self) -> str:
        return f"AsyncVm({self.name!r}, id={self.id!r})"

    async def show(self) -> VmView:
        """Return what the daemon tells of the VM now."""
        return await self._client.call("vm.show", {"ref": self.id})

    async def delete(self) -> None:
        """Delete the VM and its disk, running or not."""
        await self._client.call("vm.delete", {"ref": self.id})

    @overload
    async def run(
        self,
        argv: list[str],
        *,
        input: str | bytes | None = None,
        check: bool = False,
        text: Literal[True] = True,
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
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[bytes]: ...
    async def run(
        self,
        argv: list[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 - as of `subprocess.run`
        check: bool = False,
        text: bool = True,
        **options: Unpack[RunOptions],
    ) -> CompletedProcess[str] | CompletedProcess[bytes]:
        """Run a command to its end, as `Vm.run` does; cancelling kills the command."""
        data = encode(input)
        params = plan_run(self.id, argv, stdin=data is not None, **options)
        with contextlib.closing(await self._client.open("vm.exec", params)) as stream:
            running = _Running(stream, data)
            stream.start(running)
            done = running.collected.complete(argv, await running.exit)
        shown = decode(done) if text else done
        if check:
            shown.check_returncode()
        return shown


class _Running:
    """What a command's stream calls back: it collects the output, and sends the input."""

    def __init__(self, stream: DaemonStream, data: bytes | None) -> None:
        self._stream = stream
        self._rest = None if data is None else memoryview(data)
        self.collected = Output()
        self.exit: asyncio.Future[dict[str, int]] = asyncio.get_running_loop().create_future()
        self.may_send()

    def output(self, channel: int, data: bytes) -> None:
        try:
            self.collected.take(channel, data)
        except BangerError as error:
            self.ended({}, error)
            self._stream.close()

    def output_ended(self) -> None:
        """Do nothing: the end follows."""

    def may_send(self) -> None:
        while self._rest and (room := self._stream.room):
            piece = self._rest[: min(room, MAX_PAYLOAD_BYTES)]
            self._stream.send(piece)
            self._rest = self._rest[len(piece) :]
        if self._rest is not None and not self._rest:
            self._rest = None
            self._stream.control({"eof": True})

    def ended(self, exit_: dict[str, int], error: BangerError | None) -> None:
        if self.exit.done():
            return
        if error is None:
            self.exit.set_result(exit_)
        else:
            self.exit.set_exception(error)
