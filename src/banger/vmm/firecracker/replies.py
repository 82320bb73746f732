"""The shapes of Firecracker's replies. Pure.

All of it is `untrusted_` until it was decoded into these: Firecracker may have been taken over by
its guest. A field that a newer release adds is ignored.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class InstanceState(StrEnum):
    """How far a VM is."""

    NOT_STARTED = "Not started"
    RUNNING = "Running"
    PAUSED = "Paused"


class InstanceInfo(Struct, frozen=True, kw_only=True):
    """The answer to `GET /`."""

    app_name: str
    id: str
    state: InstanceState
    vmm_version: str


class Fault(Struct, frozen=True):
    """The body of every refusal."""

    fault_message: str
