"""How long a VM has run, and when its time to live or its idle time ends.

The start is a row among the VM's handles, of kind `lifetime`: written with the state `running`,
gone when the VM has ended. So the next daemon continues to count.

Which clocks: the wall clock may be set, and must end nobody's VM by that. The time to live is
counted by CLOCK_BOOTTIME, which goes on while the host is suspended, as a user's own clock does;
idleness by CLOCK_MONOTONIC, which stops then: a laptop that wakes up has not been waiting.
Both mean something within one boot of the host, and so does a running VM. When a VM was last in
use is in memory only: the start of a daemon counts as use, so that nothing is cut short.

Reads clocks; takes no locks.
"""

from __future__ import annotations

import time
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from banger.durations import format_duration
from banger.engine.state.handles import parse_handle
from banger.engine.state.runtime import VmRuntime
from banger.host.identity import read_boot_id
from banger.model.vm import VmSpec, VmState

LIFETIME = "lifetime"
"""The kind of the row."""
WARN_S = 60.0
"""So long before a VM ends the log says so."""


class Lifetime(Struct, frozen=True, kw_only=True):
    """When a VM was started: seconds of CLOCK_BOOTTIME in one boot of the host."""

    boot_id: str
    started_s: float


class Clock(NamedTuple):
    """This moment, by every clock that counts."""

    boot_id: str
    boot_s: float
    monotonic_s: float


class NextEnd(NamedTuple):
    """When a VM is to end by itself; `left_s` may be negative: it is overdue."""

    left_s: float
    by: Literal["ttl", "idle"]


def read_clock() -> Clock:
    """Return this moment."""
    return Clock(read_boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME), time.monotonic())


def parse_lifetime(untrusted_payload: bytes | None) -> Lifetime | None:
    """Return a VM's lifetime; None if there is none, or its row is damaged."""
    return parse_handle(untrusted_payload, Lifetime)


def begin_lifetime() -> bytes:
    """Return the row of a VM that starts now."""
    now = read_clock()
    return msgspec.json.encode(Lifetime(boot_id=now.boot_id, started_s=now.boot_s))


def is_working(runtime: VmRuntime) -> bool:
    """Tell whether the VM is in use at the moment: by a command, a copy, a connection."""
    connection = runtime.connection
    return runtime.workspace.locked() or (connection is not None and connection.is_working)


def plan_ending(
    spec: VmSpec, state: VmState, lifetime: Lifetime | None, runtime: VmRuntime, now: Clock
) -> NextEnd | None:
    """Return when a VM ends by itself, as things stand; None: not at all."""
    endings = []
    lives = state in (VmState.RUNNING, VmState.PAUSED)
    if lives and spec.ending.ttl_s and lifetime is not None and lifetime.boot_id == now.boot_id:
        endings.append(NextEnd(lifetime.started_s + spec.ending.ttl_s - now.boot_s, "ttl"))
    is_idle = state is VmState.RUNNING and runtime.used_at is not None and not is_working(runtime)
    if spec.ending.auto_stop_s and is_idle:
        assert runtime.used_at is not None
        used_at = max(runtime.used_at, runtime.connection.used_at if runtime.connection else 0.0)
        endings.append(NextEnd(used_at + spec.ending.auto_stop_s - now.monotonic_s, "idle"))
    return min(endings, default=None)


def say_left(spec: VmSpec, ending: NextEnd) -> str:
    """Return what is going to happen to a VM, for its user."""
    verb = "deleted" if spec.ending.ephemeral else "stopped"
    why = ": its time to live expires" if ending.by == "ttl" else " unless it is used"
    return f"It will be {verb} in {max(round(ending.left_s), 0)} s{why}."


def say_why(spec: VmSpec, ending: NextEnd) -> str:
    """Return why a VM ended, as a sentence for its user."""
    if ending.by == "ttl":
        return f"Its time to live of {format_duration(spec.ending.ttl_s or 0)} expired."
    return f"It was idle for {format_duration(spec.ending.auto_stop_s or 0)}."
