"""Saved machines: the memory, devices' state and data disk of a VM, which others start from.

A template is kept by key, for every VM of a shape; a snapshot is one VM's. Both are published by
rename and never written again; a clone maps the memory privately. ADR 0031 has the reasons
and figures.
"""

from banger.templates.key import TemplateFacts, make_key
from banger.templates.saved import (
    DATA,
    MEMORY,
    STATE,
    SavedFiles,
    disk_bytes,
    remove_saved,
    require_intact,
)
from banger.templates.shelf import (
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
