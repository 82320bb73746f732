"""`vm run --reuse`: run in the VM that already has the repository.

The VM is the newest one whose workspace was copied from the same directory of this host. A stopped
or paused VM is started or resumed. Its workspace is left as it is, and the VM is never deleted.
"""

from __future__ import annotations

from argparse import Namespace

from banger.cli.app.context import Context
from banger.cli.app.usage import UsageError
from banger.cli.options.project import NOT_AGAIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import VmView
    from banger.cli.terminal.progress import Stages

WAKES = {"running": None, "paused": "vm.resume", "stopped": "vm.start"}
"""The states of a VM that can be used again, and the method that makes it run."""


def refuse_contradictions(arguments: Namespace) -> None:
    """Refuse what only a new VM can have.

    Raises:
        UsageError: an option excludes --reuse, or there is no PATH.
    """
    if arguments.path is None:
        raise UsageError("--reuse needs a PATH.", hint="banger vm run PATH --reuse ...")
    for name in NOT_AGAIN:
        if getattr(arguments, name):
            option = name.removesuffix("_ref").replace("_", "-")
            raise UsageError(f"--reuse and --{option} exclude each other.")


def find_again(arguments: Namespace, context: Context, *, stages: Stages) -> VmView | None:
    """Return the VM of this repository, which runs now; None: there is none.

    With `--name` it is only that one.
    """
    with context.client() as client:
        listed = client.call("vm.list")
        view = choose(listed, top=arguments.path, name=arguments.name)
        if view is None:
            return None
        method = WAKES[view["state"]]
        if method is not None:
            stages.enter(method.removeprefix("vm."))
            client.request(
                method, {"ref": view["id"]}, on_event=stages.on_event, on_tick=stages.on_tick
            )
            stages.end()
    if method == "vm.start" and view["workspace"]:
        from banger.cli.commands.starting import start_workspace

        place = view["workspace"]["guest_path"]
        start_workspace(arguments, view, context, stages=stages, cwd=place, is_new=False)
    stages.say(
        f"Using {view['name']}, which already has this repository (leave out --reuse for a new VM)."
    )
    return view


def choose(listed: list[VmView], *, top: str, name: str | None) -> VmView | None:
    """Return the newest VM with a workspace from `top` that can be used."""
    fit = [
        view
        for view in listed
        if view["workspace"]
        and view["workspace"]["host_path"] == top
        and view["state"] in WAKES
        and not view["ephemeral"]
        and name in (None, view["name"])
    ]
    return max(fit, key=lambda view: (view["created_at"], view["id"]), default=None)
