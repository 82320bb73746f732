"""What a command wants to be done about a copy that is older than its original."""

from __future__ import annotations

from enum import StrEnum


class IfStale(StrEnum):
    """What to do if the host's files have changed since they were copied into the VM."""

    IGNORE = "ignore"
    NOTICE = "notice"
    """Say so in a note; new files are not looked for."""
    PREPARE = "prepare"
    """Copy them again first; refused if the guest has changes of its own."""
