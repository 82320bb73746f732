"""The VMs that one `vm run` makes, and what becomes of each when the run ends.

With `--rm` they are deleted, except one whose result could not be collected: that VM is kept
whatever the options, since it holds the only copy. Without `--rm` they stay, except when no
command ever began in them. What becomes of them is said in one line (hazards H4, H5).

The daemon deletes ephemeral VMs when the connection that made them ends, or when it finds them
after a death of its own. So a VM whose result is to be brought back is ephemeral only until its
command begins (`use`): from then on it is deleted by us, and by nobody else if we are killed.
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


class RunVms:
    """The VMs of one run, for a `with` block at whose end they go or stay."""

    def __init__(
        self, context: Context, *, stages: Stages, views: list[dict[str, Any]], ephemeral: bool
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
        # Where the kept ones are was said with the reason, and is no invitation to delete them.
        self._say_left({view["id"] for view in self._views} - gone - self._kept)

    def add(self, views: list[dict[str, Any]]) -> None:
        """Take in VMs that were made later."""
        self._views += views

    def use(self, results: Iterable[str] = ()) -> None:
        """Note that a command is about to begin: from now on there may be something to lose.

        `results`: ids of the VMs whose results are to be brought back.

        Raises:
            BangerError: the daemon would go on deleting one of them.
        """
        if self._ephemeral:
            with self._context.client() as client:
                for vm_id in results:
                    client.call("vm.set", {"ref": vm_id, "keep": True})
        self._is_used = True

    def keep(self, vm_id: str) -> bool:
        """Keep a VM that holds a result which was not collected; False if the VM is gone."""
        self._kept.add(vm_id)
        try:
            with self._context.client() as client:
                client.call("vm.show", {"ref": vm_id})
        except VmNotFound:
            return False
        except BangerError:
            return True  # nobody can say; we have not deleted it
        return True

    def _delete(self, vm_id: str) -> None:
        """Delete a VM; a failure is told and does not hide the command's status."""
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

    def _say_deleted(self, doomed: list[dict[str, Any]], *, interrupted: bool) -> None:
        names = " ".join(view["name"] for view in doomed)
        if not self._is_used:
            self._stages.say(f"Deleted {names}: no command has run there.")
        elif interrupted:
            self._stages.say(f"Interrupted; deleted {names} with everything in it (--rm).")

    def _say_left(self, ids: set[str]) -> None:
        """Say which VMs are left and how to stop or delete them; asked for, not assumed."""
        try:
            with self._context.client() as client:
                listed = client.call("vm.list") if ids else []
        except BangerError:
            return
        assert isinstance(listed, list)
        left = [view for view in listed if view["id"] in ids]
        if left:
            self._stages.say(describe_left(left))


def describe_left(left: list[dict[str, Any]]) -> str:
    """Return the line that says which VMs are left."""
    name, state = left[0]["name"], left[0]["state"]
    if len(left) > 1:
        names = " ".join(view["name"] for view in left)
        running = sum(view["state"] == "running" for view in left)
        return f"{len(left)} VMs are left, {running} running; delete them: banger vm delete {names}"
    if state == "running":
        return f"{name} still runs; stop it: banger vm stop {name}"
    return f"{name} is {state}; delete it: banger vm delete {name}"
