"""The verbs: one function each, with what they need to be safe against each other and a crash.

A verb checks its request, reads facts, asks `plan` for steps, and runs them with
a journal (`runner`, `actions`). Locks are described in `live`, recovery in
`recovery`. Owns the VMs' directories and processes through the rooms below.
"""

from banger.engine.artifacts import (
    build_image,
    delete_image,
    import_image,
    list_images,
    show_image,
)
from banger.engine.changing import set_vm
from banger.engine.consoles import open_console
from banger.engine.creation import create_vm
from banger.engine.engine import Engine
from banger.engine.execs import start_exec
from banger.engine.forking import fork_vm
from banger.engine.garbage import collect_garbage
from banger.engine.kernels import (
    delete_kernel,
    import_kernel,
    list_available_kernels,
    list_kernels,
    prune_kernels,
    pull_kernel,
    show_kernel,
)
from banger.engine.lifecycle import delete_vm, kill_vm, prune_vms, start_vm, stop_vm
from banger.engine.listeners import list_listeners
from banger.engine.opening import open_engine
from banger.engine.pausing import pause_vm, resume_vm
from banger.engine.pulling import prune_images, pull_image
from banger.engine.queries import (
    cancel_operation,
    list_operations,
    list_vms,
    open_log,
    show_vm,
    watch_vms,
)
from banger.engine.restarting import restart_vm
from banger.engine.snapshots import (
    create_snapshot,
    delete_snapshot,
    list_snapshots,
    restore_snapshot,
)
from banger.engine.stats import read_stats
from banger.engine.templating import (
    build_template_now,
    delete_template,
    list_templates,
    prune_templates,
)
from banger.engine.workspaces import (
    export_workspace,
    export_workspace_branch,
    inspect_workspace,
    prepare_workspace,
)

__all__ = [
    "Engine",
    "build_image",
    "build_template_now",
    "cancel_operation",
    "collect_garbage",
    "create_snapshot",
    "create_vm",
    "delete_image",
    "delete_kernel",
    "delete_snapshot",
    "delete_template",
    "delete_vm",
    "export_workspace",
    "export_workspace_branch",
    "fork_vm",
    "import_image",
    "import_kernel",
    "inspect_workspace",
    "kill_vm",
    "list_available_kernels",
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
    "prepare_workspace",
    "prune_images",
    "prune_kernels",
    "prune_templates",
    "prune_vms",
    "pull_image",
    "pull_kernel",
    "read_stats",
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
