"""The steps of verbs, as values.

A step states a condition that is true afterwards; its actor in the engine measures,
acts if needed and verifies, so a step can be applied or undone again at any time.
Steps are written to the journal as JSON: a class's tag is part of the database's
format and is never reused with another meaning.
"""

from __future__ import annotations

from msgspec import Struct

from banger.model.names import VmId


class _Step(Struct, frozen=True, kw_only=True, tag_field="step"):
    vm_id: VmId


# --- making: undone in reverse order -------------------------------------------


class MakeVmDir(_Step, frozen=True, tag="make-vm-dir"):
    """The VM's private directory exists. Undo: the directory and its content are gone."""


class MakeDataDisk(_Step, frozen=True, tag="make-data-disk"):
    """The data disk exists: a sparse file with an empty ext4."""

    size_mib: int


class GrowDataDisk(_Step, frozen=True, tag="grow-data-disk"):
    """The data disk has at least this size; the guest grows its file system at its next boot."""

    size_mib: int


class CloneDataDisk(_Step, frozen=True, tag="clone-data-disk"):
    """The data disk exists, as a copy of a saved machine's."""

    origin: str


class ReplaceDataDisk(_Step, frozen=True, tag="replace-data-disk"):
    """A copy of a saved machine's data disk has replaced the data disk."""

    origin: str


class MakeHostKeys(_Step, frozen=True, tag="make-host-keys"):
    """The guest's own ssh host key exists (hazard D2)."""


class MakeRuntimeDir(_Step, frozen=True, tag="make-runtime-dir"):
    """The directory of the VM's sockets exists. Undo: it is gone."""


class StartNetwork(_Step, frozen=True, tag="start-network"):
    """The network's process runs and its handle is saved. Undo: the process has ended."""


class SpawnVmm(_Step, frozen=True, tag="spawn-vmm"):
    """The VMM runs and its handle is saved. Undo: the VMM has ended."""


class RestoreVmm(_Step, frozen=True, tag="restore-vmm"):
    """The VMM runs from a saved machine and its handle is saved. Undo: the VMM has ended."""

    origin: str


class LimitVm(_Step, frozen=True, tag="limit-vm"):
    """The VM's processes are in a scope of their own, if the host has scopes. Undo: nothing; a
    scope ends with its processes."""


class IdentifyGuest(_Step, frozen=True, tag="identify-guest"):
    """The agent of a clone has confirmed that the guest is a machine of its own (D1, D2)."""


class RehearseGuest(_Step, frozen=True, tag="rehearse-guest"):
    """The guest has run a program, so that its memory holds the pages and the translated code."""


class BootGuest(_Step, frozen=True, tag="boot-guest"):
    """The agent answers, the root is mounted and the image's init has been started."""


class SettleGuest(_Step, frozen=True, tag="settle-guest"):
    """The image's init has finished starting its services."""


class StartEntrypoint(_Step, frozen=True, tag="start-entrypoint"):
    """The image's entry point runs, and the guest's agent restarts it when it fails."""


class ProtectWorkspace(_Step, frozen=True, tag="protect-workspace"):
    """Nothing in the guest can write the workspace."""

    path: str


# --- saving a machine ---------------------------------------------------------------


class BeginSaving(_Step, frozen=True, tag="begin-saving"):
    """A directory holds the memory that the VM started from. Undo: the directory is gone."""

    snapshot: str


class PauseVmm(_Step, frozen=True, tag="pause-vmm"):
    """The guest's CPUs are paused. Undo: they run."""


class SaveMachine(_Step, frozen=True, tag="save-machine"):
    """The directory holds the paused VM's memory, device state and data disk."""

    snapshot: str


class ResumeVmm(_Step, frozen=True, tag="resume-vmm"):
    """The guest's CPUs run, and its clock is right (D1)."""


class PublishSnapshot(_Step, frozen=True, tag="publish-snapshot"):
    """The directory has become a snapshot. Undo: the snapshot is gone."""

    snapshot: str
    machine: str
    """The key of the machine that the snapshot fits."""
    name: str | None
    """None means a snapshot that lives only as long as a VM runs from it."""


# --- ending: only ever completed --------------------------------------------------


class FlushGuest(_Step, frozen=True, tag="flush-guest"):
    """The guest's writes are in the host's files, or the loss of some is reported (A1)."""

    deadline_s: float


class ShutDownGuest(_Step, frozen=True, tag="shut-down-guest"):
    """The guest was asked to shut down, and has done so or reached the deadline (A2)."""

    deadline_s: float
    """Seconds for the flush and this step together."""


class EndVmm(_Step, frozen=True, tag="end-vmm"):
    """The VMM has ended and its handle is deleted."""


class EndNetwork(_Step, frozen=True, tag="end-network"):
    """The network's process has ended and its handle is deleted."""


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
    | ProtectWorkspace
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
