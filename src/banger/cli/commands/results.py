"""Bring a run's result back as a branch, and say where it is when that cannot be done."""

from __future__ import annotations

from banger.cli.app.context import Context
from banger.cli.commands.run_vms import RunVms
from banger.cli.terminal.output import printable
from banger.cli.terminal.progress import Stages
from banger.errors import BangerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OWN_FAILURE = 125
"""Exit status when a result could not be collected."""


def collect_branch(context: Context, vm_id: str, branch: str) -> dict[str, Any]:
    """Make a branch of all that a VM's workspace has, committed or not.

    A branch of that name is somebody's work: a free name is found (NAME-2 ...). Its name in the
    reply is null if nothing changed.

    Raises:
        BangerError: the result could not be collected; nothing in the repository has changed.
    """
    params = {"ref": vm_id, "branch": branch, "include_uncommitted": True, "fresh": True}
    with context.client() as client:
        done = client.call("workspace.export_branch", params)
    assert isinstance(done, dict)
    return done


def describe_kept(name: str, branch: str) -> str:
    """Return the line that says how to get a result out of the VM that holds it."""
    # Another name than the one that failed, which may be what was in the way.
    other = printable(branch.replace("/", "-"))
    return (
        f"The result is in the VM {name}, which is kept; once this is mended: "
        f"banger vm workspace export {name} --branch {other} --include-uncommitted"
    )


def bring_back(
    branch: str, view: dict[str, Any], vms: RunVms, context: Context, *, stages: Stages
) -> int:
    """Make the branch that the VM was made for, before the VM is deleted; return 0 or 125."""
    stages.enter("branch")
    try:
        done = collect_branch(context, view["id"], branch)
    except BangerError as error:
        stages.end()
        context.complain(error)
        if vms.keep(view["id"]):
            context.say(describe_kept(view["name"], branch))
        return OWN_FAILURE
    stages.end()
    stages.say(f"branch {done['branch']}" if done["branch"] else f"no branch {branch}: no changes")
    return 0
