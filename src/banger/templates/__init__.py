"""Saved machines: a VM's memory, device state and data disk, from which other VMs start.

A template is found by key and serves every VM of a shape; a snapshot belongs to one VM. Both are
published by rename and never written again; a clone maps the memory privately. ADR 0031 has the
reasons and figures.
"""

from banger.templates.cache import (
    Template,
    Uses,
    find_template,
    list_templates,
    make_room,
    mark_used,
    publish_template,
    read_uses,
    remove_template,
    remove_templates_of,
)
from banger.templates.key import TemplateFacts, make_key, make_layer_key
from banger.templates.saved import (
    DATA,
    MEMORY,
    STATE,
    SavedFiles,
    disk_bytes,
    remove_saved,
    require_intact,
)
from banger.templates.snapshots import (
    Snapshot,
    forget_name,
    list_ids,
    list_snapshots,
    publish_snapshot,
)

__all__ = [
    "DATA",
    "MEMORY",
    "STATE",
    "SavedFiles",
    "Snapshot",
    "Template",
    "TemplateFacts",
    "Uses",
    "disk_bytes",
    "find_template",
    "forget_name",
    "list_ids",
    "list_snapshots",
    "list_templates",
    "make_key",
    "make_layer_key",
    "make_room",
    "mark_used",
    "publish_snapshot",
    "publish_template",
    "read_uses",
    "remove_saved",
    "remove_template",
    "remove_templates_of",
    "require_intact",
]
