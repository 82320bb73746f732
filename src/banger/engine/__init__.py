"""The engine: every change of a VM, safe against the others and against a crash.

Six floors, each of which imports only those below it (import-linter holds them to that):

- `verbs`: what clients ask for. A verb checks its request, takes locks, runs transitions and
  returns a view.
- `upkeep`: what the daemon does by itself: opening, recovery, and the loops.
- `views`: what is there, for those who ask. Changes nothing.
- `transitions`: changes of one VM, and of the templates and snapshots that VMs start from, under
  the lifecycle lock, which the caller holds.
- `steps`: what each step of a plan does and undoes, and the runner that journals them.
- `state`: what is in memory: runtimes of VMs and their locks, operations, pins, settings.
"""

from banger.engine.state.engine import Engine
from banger.engine.upkeep.opening import open_engine
from banger.engine.verbs.commit import commit_vm
from banger.engine.verbs.connect import open_connection, open_listener
from banger.engine.verbs.consoles import open_console
from banger.engine.verbs.copies import (
    checksum_file,
    copy_in,
    find_copy_target,
    open_copy_out,
    stat_file,
)
from banger.engine.verbs.create import create_vm
from banger.engine.verbs.execs import start_exec
from banger.engine.verbs.fork import fork_vm
from banger.engine.verbs.garbage import collect_garbage
from banger.engine.verbs.images import (
    build_image,
    delete_image,
    import_image,
    promote_image,
    register_image,
)
from banger.engine.verbs.kernels import (
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
from banger.engine.verbs.listeners import list_listeners
from banger.engine.verbs.ports import add_port, list_ports, remove_port
from banger.engine.verbs.pull import prune_images, pull_image
from banger.engine.verbs.resolve import plan_vm
from banger.engine.verbs.sessions import (
    attach_session,
    delete_session,
    list_sessions,
    open_session_input,
    show_session,
    signal_session,
    start_session,
    stop_session,
    wait_session,
)
from banger.engine.verbs.set import set_vm
from banger.engine.verbs.sftp import open_sftp
from banger.engine.verbs.snapshots import (
    create_snapshot,
    delete_snapshot,
    list_snapshots,
    restore_snapshot,
)
from banger.engine.verbs.templates import (
    build_template_now,
    delete_template,
    list_templates,
    prune_templates,
)
from banger.engine.verbs.vms import (
    delete_ephemeral_vm,
    delete_vm,
    kill_vm,
    pause_vm,
    prune_vms,
    restart_vm,
    resume_vm,
    start_vm,
    stop_vm,
)
from banger.engine.verbs.workspacechanges import (
    apply_workspace,
    diff_workspace,
    read_workspace_status,
)
from banger.engine.verbs.workspaces import (
    export_workspace,
    export_workspace_branch,
    inspect_workspace,
    prepare_workspace,
)
from banger.engine.views.images import list_catalogue, list_images, show_image
from banger.engine.views.links import show_names
from banger.engine.views.logs import open_log
from banger.engine.views.operations import cancel_operation, list_operations
from banger.engine.views.stats import read_stats
from banger.engine.views.vms import list_vms, show_vm, wait_vm, watch_vms

__all__ = [
    "Engine",
    "add_port",
    "apply_workspace",
    "attach_session",
    "build_image",
    "build_kernel",
    "build_template_now",
    "cancel_operation",
    "checksum_file",
    "collect_garbage",
    "commit_vm",
    "copy_in",
    "create_snapshot",
    "create_vm",
    "delete_ephemeral_vm",
    "delete_image",
    "delete_kernel",
    "delete_session",
    "delete_snapshot",
    "delete_template",
    "delete_vm",
    "diff_workspace",
    "export_workspace",
    "export_workspace_branch",
    "fetch_kernel",
    "find_copy_target",
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
    "list_ports",
    "list_sessions",
    "list_snapshots",
    "list_templates",
    "list_vms",
    "open_connection",
    "open_console",
    "open_copy_out",
    "open_engine",
    "open_listener",
    "open_log",
    "open_session_input",
    "open_sftp",
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
    "read_workspace_status",
    "register_image",
    "remove_port",
    "restart_vm",
    "restore_snapshot",
    "resume_vm",
    "set_vm",
    "show_image",
    "show_kernel",
    "show_names",
    "show_session",
    "show_vm",
    "signal_session",
    "start_exec",
    "start_session",
    "start_vm",
    "stat_file",
    "stop_session",
    "stop_vm",
    "wait_session",
    "wait_vm",
    "watch_vms",
]
