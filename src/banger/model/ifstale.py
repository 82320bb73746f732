"""What to do before a command if the copy of the workspace is out of date."""

from __future__ import annotations

from enum import StrEnum


class IfStale(StrEnum):
    """What to do if the host's files have changed since they were copied into the VM."""

    IGNORE = "ignore"
    NOTICE = "notice"
    """Say so in a note; new files are not looked for."""
    PREPARE = "prepare"
    """Copy them again first; refused if the guest has changes of its own."""
