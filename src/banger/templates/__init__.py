"""Templates: the memory, devices' state and data disk of a VM that had booted, kept by key.

A template is published by rename and never written again; a clone maps its memory privately.
ADR 0031 has the reasons and figures.
"""

from banger.templates.key import TemplateFacts, make_key
from banger.templates.shelf import (
    DATA,
    MEMORY,
    STATE,
    Template,
    disk_bytes,
    find_template,
    list_templates,
    make_room,
    mark_used,
    publish_template,
    remove_template,
    remove_templates_of,
)

__all__ = [
    "DATA",
    "MEMORY",
    "STATE",
    "Template",
    "TemplateFacts",
    "disk_bytes",
    "find_template",
    "list_templates",
    "make_key",
    "make_room",
    "mark_used",
    "publish_template",
    "remove_template",
    "remove_templates_of",
]
