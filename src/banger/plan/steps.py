"""The steps that verbs are made of, as values.

A step names what is to be true afterwards; the engine's adapters measure, act if
needed and verify, so that each may be applied or undone again at any time. Steps
are written to the journal as JSON: a class's tag is part of the database's format
and is never reused for something else.
"""

from __future__ import annotations

from msgspec import Struct

from banger.model.names import VmId


class _Step(Struct, frozen=True, kw_only=True, tag_field="step"):
    vm_id: VmId


# --- making: undone in reverse order -------------------------------------------


class MakeVmDir(_Step, frozen=True, tag="make-vm-dir"):
    """The VM's private directory exists. Undo: it and everything in it is gone."""


class MakeDataDisk(_Step, frozen=True, tag="make-data-disk"):
    """The data disk exists: a sparse file with an empty ext4."""

    size_mib: int


class GrowDataDisk(_Step, frozen=True, tag="grow-data-disk"):
    """The data disk is at least this big; the guest's file system follows when it boots."""

    size_mib: int


class CloneDataDisk(_Step, frozen=True, tag="clone-data-disk"):
    """The data disk exists: a copy of a saved machine's."""

    origin: str


class ReplaceDataDisk(_Step, frozen=True, tag="replace-data-disk"):
    """The data disk is a copy of a saved machine's, whatever it was before."""

    origin: str


class MakeHostKeys(_Step, frozen=True, tag="make-host-keys"):
    """The guest's own ssh host key exists (hazard D2)."""


class MakeRuntimeDir(_Step, frozen=True, tag="make-runtime-dir"):
    """The directory of the VM's sockets exists. Undo: it is gone."""


class StartNetwork(_Step, frozen=True, tag="start-network"):
    """The network back end runs and its handle is saved. Undo: it has ended."""


class SpawnVmm(_Step, frozen=True, tag="spawn-vmm"):
    """The VMM runs and its handle is saved. Undo: it has ended."""


class RestoreVmm(_Step, frozen=True, tag="restore-vmm"):
    """The VMM runs from a saved machine, its handle is saved. Undo: it has ended."""

    origin: str


class LimitVm(_Step, frozen=True, tag="limit-vm"):
    """The VM's processes are in a scope of their own, where the host has any. Undo: it ends with
    them."""


class IdentifyGuest(_Step, frozen=True, tag="identify-guest"):
    """The agent of a clone has confirmed that the guest is a machine of its own (D1, D2)."""


class RehearseGuest(_Step, frozen=True, tag="rehearse-guest"):
    """The guest has run a program: what that takes is in its memory, and translated."""


class BootGuest(_Step, frozen=True, tag="boot-guest"):
    """The agent answers, the root is in place, the image's init is started."""


class SettleGuest(_Step, frozen=True, tag="settle-guest"):
    """The image's init has started what it starts."""


class StartEntrypoint(_Step, frozen=True, tag="start-entrypoint"):
    """The image's entry point runs, and the guest's agent starts it again when it fails."""


# --- saving a machine ---------------------------------------------------------------


class BeginSaving(_Step, frozen=True, tag="begin-saving"):
    """A directory holds what the VM's memory began as. Undo: it is gone."""

    snapshot: str


class PauseVmm(_Step, frozen=True, tag="pause-vmm"):
    """The guest's processors are stopped. Undo: they go on."""


class SaveMachine(_Step, frozen=True, tag="save-machine"):
    """The directory holds the paused VM's memory, devices' state and data disk."""

    snapshot: str


class ResumeVmm(_Step, frozen=True, tag="resume-vmm"):
    """The guest's processors go on, and its clock is right (D1)."""


class PublishSnapshot(_Step, frozen=True, tag="publish-snapshot"):
    """The directory has become a snapshot. Undo: there is none."""

    snapshot: str
    machine: str
    """The key of the machine that it fits."""
    name: str | None
    """None: it lives as long as a VM runs on it."""


# --- ending: only ever completed --------------------------------------------------


class FlushGuest(_Step, frozen=True, tag="flush-guest"):
    """What the guest wrote is in the host's files, or it is known that it may not be (A1)."""

    deadline_s: float


class ShutDownGuest(_Step, frozen=True, tag="shut-down-guest"):
    """The guest was asked to shut down, and did so or had its time (A2)."""

    deadline_s: float
    """For the flush and this step together."""


class EndVmm(_Step, frozen=True, tag="end-vmm"):
    """The VMM has ended and its handle is forgotten."""


class EndNetwork(_Step, frozen=True, tag="end-network"):
    """The network back end has ended and its handle is forgotten."""


class RemoveRuntimeDir(_Step, frozen=True, tag="remove-runtime-dir"):
    """The directory of the VM's sockets is gone."""


class RemoveVmDir(_Step, frozen=True, tag="remove-vm-dir"):
    """The VM's directory is gone."""


Step = (
    MakeVmDir
    | MakeDataDisk
    | GrowDataDisk
    | CloneDataDisk
    | ReplaceDataDisk
    | MakeHostKeys
    | MakeRuntimeDir
    | StartNetwork
    | SpawnVmm
    | RestoreVmm
    | LimitVm
    | IdentifyGuest
    | StartEntrypoint
    | RehearseGuest
    | BootGuest
    | SettleGuest
    | BeginSaving
    | PauseVmm
    | SaveMachine
    | ResumeVmm
    | PublishSnapshot
    | FlushGuest
    | ShutDownGuest
    | EndVmm
    | EndNetwork
    | RemoveRuntimeDir
    | RemoveVmDir
)
