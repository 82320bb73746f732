"""The client for calls that wait.

Made by `make docs` from `sdk/aio/client.py`; do not edit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Self, TypeVar, Unpack, cast

from banger.errors import VmNotFound
from banger.sdk.options import Event, EventOptions, VmOptions, plan_vm, plan_workspace
from banger.sdk.sync.daemon import Daemon
from banger.sdk.sync.vm import Vm

if TYPE_CHECKING:
    from banger.api.documents import VmView

Item = TypeVar("Item")
Result = TypeVar("Result")


class Client(Daemon):
    """Makes and finds VMs; may be shared by threads and tasks.

    It keeps nothing open between two calls, so a block of one (`with`) only names it.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: what a method opens ends with its own block."""

    @contextlib.contextmanager
    def vm(self, **options: Unpack[VmOptions]) -> Iterator[Vm]:
        """Make a VM for the time of a block, and delete it then.

        Raises:
            BangerError: the VM could not be made, or its repository not be copied.
        """
        params = plan_vm(options, ephemeral=True)
        with self.open("vm.create", params) as owner:
            made = Vm(self, cast("VmView", owner.result))
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

    @contextlib.contextmanager
    def events(self, **options: Unpack[EventOptions]) -> Iterator[Iterator[Event]]:
        """Listen to what happens to VMs for a block, from its beginning on.

        The iterator continues when the daemon is replaced. It never ends, but with `ref` when the
        VM is deleted, and with `follow=False`.
        """
        from banger.sdk.sync.events import open_events

        with open_events(self, {"follow": True, **options}) as events:
            yield events

    def map(
        self,
        function: Callable[[Vm, Item], Result],
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
        from banger.sdk.sync.mapping import map_items

        return map_items(lambda: self.vm(**options), function, items, vms=vms)

    def _prepare(self, vm: Vm, options: VmOptions) -> None:
        if (params := plan_workspace(options, vm.id)) is not None:
            self.call("workspace.prepare", params)
