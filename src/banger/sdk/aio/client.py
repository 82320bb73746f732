"""The client for programs with an asyncio loop. Cancelling a task ends what it waits for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Unpack

from banger.errors import VmNotFound
from banger.sdk.aio.daemon import AsyncDaemon
from banger.sdk.aio.vm import AsyncVm
from banger.sdk.options import VmOptions, plan_vm, plan_workspace


class AsyncClient(AsyncDaemon):
    """Makes and finds VMs; may be shared by tasks."""

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
