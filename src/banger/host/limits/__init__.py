"""Limits that the host enforces on a VM: on all its processes together, and on its VMM alone."""

from banger.host.limits.processes import limit_process, read_stack_bytes
from banger.host.limits.scopes import Scope, is_in_scope, name_scope, start_scope
from banger.host.limits.servicemanager import find_service_manager, may_move_children

__all__ = [
    "Scope",
    "find_service_manager",
    "is_in_scope",
    "limit_process",
    "may_move_children",
    "name_scope",
    "read_stack_bytes",
    "start_scope",
]
