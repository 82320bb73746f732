"""The actor of a step: the functions that apply and undo it, one row for each kind of step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from banger.engine.state.machine import Machine
from banger.plan.steps import Step

S = TypeVar("S", bound=Step)


@dataclass(frozen=True)
class Actor(Generic[S]):
    """How steps of one kind are made true and untrue.

    Both functions are idempotent: measure, act if needed. A directory that is removed is the exact
    path that the layout has for the VM's id, never a tree named by a request (hazard A6).
    """

    step: type[S]
    apply: Callable[[Machine, S], Awaitable[None]]
    undo: Callable[[Machine, S], Awaitable[None]] | None = None
    """None: the step only ends something, or goes with what another step made: the disk with the
    VM's directory, the guest with its VMM."""
    stage: str | None = None
    """What the operation is said to be doing meanwhile."""
