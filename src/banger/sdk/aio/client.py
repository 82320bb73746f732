"""The client for programs with an asyncio loop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Self, TypeVar, Unpack, cast

from banger.errors import VmNotFound
from banger.sdk.aio.daemon import AsyncDaemon
from banger.sdk.aio.vm import AsyncVm
from banger.sdk.options import Event, EventOptions, VmOptions, plan_vm, plan_workspace

if TYPE_CHECKING:
    from banger.api.documents import VmView

Item = TypeVar("Item")
Result = TypeVar("Result")


class AsyncClient(AsyncDaemon):
    """Makes and finds VMs; may be shared by threads and tasks.

    It keeps nothing open between two calls, so a block of one (`with`) only names it.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: what a method opens ends with its own block."""

    @contextlib.asynccontextmanager
    async def vm(self, **options: Unpack[VmOptions]) -> AsyncIterator[AsyncVm]:
        """Make a VM for the time of a block, and delete it then.

        Raises:
            BangerError: the VM could not be made, or its repository not be copied.
        """
        params = plan_vm(options, ephemeral=True)
        async with await self.open("vm.create", params) as owner:
            made = AsyncVm(self, cast("VmView", owner.result))
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

    @contextlib.asynccontextmanager
    async def events(self, **options: Unpack[EventOptions]) -> AsyncIterator[AsyncIterator[Event]]:
        """Listen to what happens to VMs for a block, from its beginning on.

        The iterator continues when the daemon is replaced. It never ends, but with `ref` when the
        VM is deleted, and with `follow=False`.
        """
        from banger.sdk.aio.events import open_events

        async with open_events(self, {"follow": True, **options}) as events:
            yield events

    async def map(
        self,
        function: Callable[[AsyncVm, Item], Awaitable[Result]],
        items: Iterable[Item],
        *,
        vms: int,
        **options: Unpack[VmOptions],
    ) -> Sequence[Result]:
        """Call a function with a VM and an item, for every item; return the results in order.

        `vms` VMs, made as by `vm`, work side by side, each on one item at a time.

        Raises: what the first call that failed has raised; no item is begun after that.
        """
        # Imported on use: threads take longer to import than the client.
        from banger.sdk.aio.mapping import map_items

        return await map_items(lambda: self.vm(**options), function, items, vms=vms)

    async def _prepare(self, vm: AsyncVm, options: VmOptions) -> None:
        if (params := plan_workspace(options, vm.id)) is not None:
            await self.call("workspace.prepare", params)
