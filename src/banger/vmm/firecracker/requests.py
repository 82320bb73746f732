"""What banger asks of a running Firecracker. Pure.

A machine that boots is described in a file (`config`). Names, fields and their meaning are those of
Firecracker's own description (`firecracker.yaml` of its repository), and the tests hold every
request to it. A field that is None is left out, so that a Firecracker that does not know it never
sees it: those refuse what they do not know. Which release knows what is in `versions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import NoneType
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from banger.vmm.firecracker.replies import InstanceInfo
from banger.vmm.firecracker.shapes import Shape, SnapshotCreation, SnapshotLoad
from banger.vmm.firecracker.versions import Feature

R = TypeVar("R")


class Method(StrEnum):
    """The methods of HTTP that Firecracker knows."""

    GET = "GET"
    PUT = "PUT"
    PATCH = "PATCH"


@dataclass(frozen=True)
class Request(Generic[R]):
    """One request, and the shape of its reply."""

    method: Method
    path: str
    reply: type[R]
    """None's own type: there is nothing to say but that it was done."""
    body: Struct | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Activity(StrEnum):
    """Whether the guest's processors run, as `PATCH /vm` has it."""

    PAUSED = "Paused"
    RESUMED = "Resumed"


class _Vm(Shape, frozen=True, kw_only=True):
    state: Activity


def describe_instance() -> Request[InstanceInfo]:
    """Ask for the state; any time."""
    return Request(Method.GET, "/", InstanceInfo)


def set_activity(activity: Activity) -> Request[None]:
    """Stop the guest's processors or let them go on; after the start, also if they do already."""
    return Request(Method.PATCH, "/vm", NoneType, _Vm(state=activity))


def create_snapshot(snapshot: SnapshotCreation) -> Request[None]:
    """Write a paused VM's state and memory to files; it stays paused.

    Its vsock device tells the guest to drop all connections: not only those that are made of the
    snapshot, also the VM itself, when it is resumed, must be connected to anew.
    """
    return Request(Method.PUT, "/snapshot/create", NoneType, snapshot)


def load_snapshot(snapshot: SnapshotLoad, features: frozenset[Feature]) -> Request[None]:
    """Make the VM from files; instead of configuring and starting it.

    Before, nothing but logger, metrics and serial console may have been set. One that fails ends
    Firecracker. `features` are those of its version.
    """
    if Feature.TRACK_AFTER_LOAD not in features:
        tracks = snapshot.track_dirty_pages
        snapshot = replace(snapshot, track_dirty_pages=None, enable_diff_snapshots=tracks)
    return Request(Method.PUT, "/snapshot/load", NoneType, snapshot)
