"""Export a run's result as a branch, or say which VM holds the result if that fails."""

from __future__ import annotations

from banger.cli.app.context import Context
from banger.cli.commands.run_vms import RunVms
from banger.cli.terminal.output import printable
from banger.cli.terminal.progress import Stages
from banger.errors import BangerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.api.documents import ExportedBranch, VmView

OWN_FAILURE = 125
"""Exit status when a result could not be collected."""


def collect_branch(context: Context, vm_id: str, branch: str) -> ExportedBranch:
    """Export a VM's workspace as a branch, uncommitted changes included.

    An existing branch is never touched: the next free name is used (NAME-2 ...). The name in the
    reply is null if nothing changed.

    Raises:
        BangerError: the export failed; the repository is unchanged.
    """
    params = {"ref": vm_id, "branch": branch, "include_uncommitted": True, "fresh": True}
    with context.client() as client:
        return client.call("workspace.export_branch", params)


def describe_kept(name: str, branch: str) -> str:
    """Return the line that says how to export a result from the VM that holds it."""
    # The name itself may have caused the failure, so suggest another name.
    other = printable(branch.replace("/", "-"))
    return (
        f"The VM {name} is kept because it holds the result; to fetch it once this is fixed: "
        f"banger vm workspace export {name} --branch {other} --include-uncommitted"
    )


def bring_back(branch: str, view: VmView, vms: RunVms, context: Context, *, stages: Stages) -> int:
    """Export the result of the VM as `branch` before the VM is deleted; return 0 or 125."""
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
