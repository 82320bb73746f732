"""The VMs of one `vm run`: which are deleted and which are kept when the run ends.

With `--rm` all VMs are deleted, except a VM whose result could not be exported: it is kept whatever
the options, since it holds the only copy. Without `--rm` all VMs are kept, unless no command ever
started in them. One line tells the user which VMs are left (hazards H4, H5).

The daemon deletes ephemeral VMs when the connection that made them ends, and during recovery after
a crash. So a VM whose result is to be exported is ephemeral only until its command starts (`use`):
from then on only this process deletes the VM, and nobody does if this process is killed.
"""

from __future__ import annotations

from collections.abc import Iterable

from banger.cli.app.context import Context
from banger.cli.terminal.progress import Stages
from banger.errors import BangerError, VmNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from banger.api.documents import VmView


class RunVms:
    """The VMs of one run: a context manager that deletes or keeps them on exit."""

    def __init__(
        self, context: Context, *, stages: Stages, views: list[VmView], ephemeral: bool
    ) -> None:
        self._context = context
        self._stages = stages
        self._views = list(views)
        self._ephemeral = ephemeral
        self._kept: set[str] = set()
        self._is_used = False

    def __enter__(self) -> RunVms:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        doomed = [view for view in self._views if view["id"] not in self._kept]
        if not self._ephemeral and self._is_used:
            doomed = []
        if doomed:
            self._stages.enter("delete")
            for view in reversed(doomed):
                self._delete(view["id"])
        self._stages.end()
        if doomed and kind is not None:
            self._say_deleted(doomed, interrupted=issubclass(kind, KeyboardInterrupt))
        gone = {view["id"] for view in doomed}
        # Kept VMs were announced with the reason; do not suggest deleting them.
        self._say_left({view["id"] for view in self._views} - gone - self._kept)

    def add(self, views: list[VmView]) -> None:
        """Add VMs that were made later, such as forks."""
        self._views += views

    def use(self, results: Iterable[str] = ()) -> None:
        """Record that a command is about to start: from now on the VMs may hold results.

        `results`: IDs of the VMs whose results are to be exported, which become permanent.

        Raises:
            BangerError: a VM could not be made permanent.
        """
        if self._ephemeral:
            with self._context.client() as client:
                for vm_id in results:
                    client.call("vm.set", {"ref": vm_id, "keep": True})
        self._is_used = True

    def keep(self, vm_id: str) -> bool:
        """Keep a VM whose result was not exported; return False if the VM no longer exists."""
        self._kept.add(vm_id)
        try:
            with self._context.client() as client:
                client.call("vm.show", {"ref": vm_id})
        except VmNotFound:
            return False
        except BangerError:
            return True  # unknown, but not deleted by this process
        return True

    def _delete(self, vm_id: str) -> None:
        """Delete a VM; print a failure without changing the command's exit status."""
        try:
            with self._context.client() as client:
                client.call(
                    "vm.delete",
                    {"ref": vm_id},
                    on_event=self._stages.on_event,
                    on_tick=self._stages.on_tick,
                )
        except VmNotFound:
            pass
        except BangerError as error:
            self._context.complain(error)

    def _say_deleted(self, doomed: list[VmView], *, interrupted: bool) -> None:
        names = " ".join(view["name"] for view in doomed)
        if not self._is_used:
            self._stages.say(f"Deleted {names}: no command was run there.")
        elif interrupted:
            self._stages.say(f"Interrupted; deleted {names} with everything in it (--rm).")

    def _say_left(self, ids: set[str]) -> None:
        """Print which VMs are left, as listed by the daemon, and how to stop or delete them."""
        try:
            with self._context.client() as client:
                listed = client.call("vm.list") if ids else []
        except BangerError:
            return
        left = [view for view in listed if view["id"] in ids]
        if left:
            self._stages.say(describe_left(left))


def find_made(interrupt: KeyboardInterrupt) -> list[VmView] | None:
    """Return the VMs that an interrupted request has made; None: it is unknown."""
    from banger.client import Interrupted

    if not isinstance(interrupt, Interrupted):
        return None
    made: Any = interrupt.result or []
    return made if isinstance(made, list) else [made]


def say_made(interrupt: KeyboardInterrupt, stages: Stages) -> None:
    """Print which VMs a request has made before it could be cancelled, if any."""
    if made := find_made(interrupt):
        stages.end()
        stages.say(f"Interrupted too late: {describe_left(made)}")


def describe_left(left: list[VmView]) -> str:
    """Return the line that says which VMs are left."""
    name, state = left[0]["name"], left[0]["state"]
    if len(left) > 1:
        names = " ".join(view["name"] for view in left)
        running = sum(view["state"] == "running" for view in left)
        return f"{len(left)} VMs are left, {running} running; delete them: banger vm delete {names}"
    if state == "running":
        return f"{name} still runs; stop it: banger vm stop {name}"
    return f"{name} is {state}; delete it: banger vm delete {name}"
