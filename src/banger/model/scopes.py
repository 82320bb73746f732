"""What a token of the HTTP front allows. Pure."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """Each allows what those before it allow."""

    READ = "read"
    """Nothing changes."""
    USE = "use"
    """Commands, sessions, files and ports of VMs that exist."""
    MANAGE = "manage"
    """Everything."""

    def allows(self, needed: Scope) -> bool:
        """Tell whether a token of this scope is enough for what needs another."""
        scopes = list(Scope)
        return scopes.index(self) >= scopes.index(needed)
