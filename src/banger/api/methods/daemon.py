"""Methods of the daemon and its host: state, operations, checks, leftovers."""

from __future__ import annotations

from banger.api.method import Method
from banger.api.requests import (
    Gc,
    NoParams,
    OperationRef,
)
from banger.api.results import (
    DaemonStatus,
    HostReport,
    Leftover,
    OperationView,
)
from banger.model.scopes import Scope

DAEMON = (
    Method(
        name="daemon.status",
        params=NoParams,
        result=DaemonStatus,
        doc="Return the daemon's status.",
        scope=Scope.READ,
    ),
    Method(
        name="daemon.stop",
        params=NoParams,
        result=DaemonStatus,
        doc="Stop the daemon; VMs keep running.",
        detached=True,
    ),
    Method(
        name="operations.list",
        params=NoParams,
        result=list[OperationView],
        doc="List operations in progress, oldest first.",
        scope=Scope.READ,
    ),
    Method(
        name="operations.cancel",
        params=OperationRef,
        result=OperationView,
        doc="Cancel an operation and undo what it did; its client gets `cancelled`.",
    ),
    Method(
        name="doctor",
        params=NoParams,
        result=HostReport,
        doc="Check that this host has what banger needs, as the daemon's user.",
        scope=Scope.READ,
    ),
    Method(
        name="gc",
        params=Gc,
        result=list[Leftover],
        doc="List or remove leftover processes and directories that belong to no VM.",
    ),
)
