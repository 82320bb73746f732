"""The two sides of a workspace."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """Where a workspace's files are."""

    HOST = "host"
    GUEST = "guest"
