"""The verbs: one function each, with what they need to be safe against each other and a crash.

A verb checks its request, reads facts, asks `plan` for steps, and runs them with a journal
(`runner`, `actions`). The verbs are in rooms: `lifecycle`, `guests`, `snapshots`, `artifacts`,
`pool` and `views`; what the daemon does by itself is in `upkeep`. Locks are described in `live`,
recovery in `recovery`.
"""

from banger.engine.artifacts.committing import commit_vm
from banger.engine.artifacts.images import (
    build_image,
    delete_image,
    import_image,
    promote_image,
    register_image,
)
from banger.engine.artifacts.imageviews import list_catalogue, list_images, show_image
from banger.engine.artifacts.kernels import (
    build_kernel,
    delete_kernel,
    fetch_kernel,
    import_kernel,
    list_available_kernels,
    list_kernels,
    prune_kernels,
    pull_kernel,
    show_kernel,
)
from banger.engine.artifacts.pulling import prune_images, pull_image
from banger.engine.artifacts.templates import (
    build_template_now,
    delete_template,
    list_templates,
    prune_templates,
)
from banger.engine.engine import Engine
from banger.engine.garbage import collect_garbage
from banger.engine.guests.consoles import open_console
from banger.engine.guests.execs import start_exec
from banger.engine.guests.listeners import list_listeners
from banger.engine.guests.workspaces import (
    export_workspace,
    export_workspace_branch,
    inspect_workspace,
    prepare_workspace,
)
from banger.engine.lifecycle.changing import set_vm
from banger.engine.lifecycle.creation import create_vm
from banger.engine.lifecycle.deleting import delete_ephemeral_vm, delete_vm, prune_vms
from banger.engine.lifecycle.pausing import pause_vm, resume_vm
from banger.engine.lifecycle.resolving import plan_vm
from banger.engine.lifecycle.restarting import restart_vm
from banger.engine.lifecycle.starting import start_vm
from banger.engine.lifecycle.stopping import kill_vm, stop_vm
from banger.engine.opening import open_engine
from banger.engine.snapshots.forking import fork_vm
from banger.engine.snapshots.snapshots import (
    create_snapshot,
    delete_snapshot,
    list_snapshots,
    restore_snapshot,
)
from banger.engine.views.queries import (
    cancel_operation,
    list_operations,
    list_vms,
    open_log,
    show_vm,
    watch_vms,
)
from banger.engine.views.stats import read_stats

__all__ = [
    "Engine",
    "build_image",
    "build_kernel",
    "build_template_now",
    "cancel_operation",
    "collect_garbage",
    "commit_vm",
    "create_snapshot",
    "create_vm",
    "delete_ephemeral_vm",
    "delete_image",
    "delete_kernel",
    "delete_snapshot",
    "delete_template",
    "delete_vm",
    "export_workspace",
    "export_workspace_branch",
    "fetch_kernel",
    "fork_vm",
    "import_image",
    "import_kernel",
    "inspect_workspace",
    "kill_vm",
    "list_available_kernels",
    "list_catalogue",
    "list_images",
    "list_kernels",
    "list_listeners",
    "list_operations",
    "list_snapshots",
    "list_templates",
    "list_vms",
    "open_console",
    "open_engine",
    "open_log",
    "pause_vm",
    "plan_vm",
    "prepare_workspace",
    "promote_image",
    "prune_images",
    "prune_kernels",
    "prune_templates",
    "prune_vms",
    "pull_image",
    "pull_kernel",
    "read_stats",
    "register_image",
    "restart_vm",
    "restore_snapshot",
    "resume_vm",
    "set_vm",
    "show_image",
    "show_kernel",
    "show_vm",
    "start_exec",
    "start_vm",
    "stop_vm",
    "watch_vms",
]
