"""What each verb does, in which order."""

from __future__ import annotations

import msgspec
import pytest

from banger.model.names import VmId
from banger.model.vm import VmSpec
from banger.plan.lifecycle import (
    Plan,
    plan_clone,
    plan_create,
    plan_delete,
    plan_kill,
    plan_prepare,
    plan_restore,
    plan_snapshot,
    plan_start,
    plan_stop,
)
from banger.plan.steps import FlushGuest, IdentifyGuest, LimitVm, ShutDownGuest, Step
from tests.support.specs import make_spec

VM = VmId("00ff10203040")


def spec(network: str = "user") -> VmSpec:
    return make_spec(network=network)


def flatten(plan: Plan) -> list[Step]:
    return [step for group in plan for step in (group if isinstance(group, tuple) else (group,))]


def names(plan: Plan) -> list[str]:
    return [type(step).__name__ for step in flatten(plan)]


def snapshot_plan(*, is_paused: bool) -> tuple[Step, ...]:
    return plan_snapshot(VM, snapshot="s", machine="m", name="n", is_paused=is_paused)


def test_create_makes_the_directory_before_what_is_in_it() -> None:
    assert names(plan_create(VM, spec())) == ["MakeVmDir", "MakeDataDisk", "MakeHostKeys"]


def test_start_has_the_network_up_before_the_vmm() -> None:
    assert names(plan_start(VM, spec())) == [
        "GrowDataDisk",
        "MakeRuntimeDir",
        "StartNetwork",
        "SpawnVmm",
        "LimitVm",
        "BootGuest",
        "SettleGuest",
    ]


def test_without_a_network_none_is_started() -> None:
    assert "StartNetwork" not in names(plan_start(VM, spec("none")))


def test_an_entry_point_is_started_by_a_boot_and_in_a_clone_of_a_template() -> None:
    """D2: last, as everything of the guest's own; a snapshot's guest has it already."""
    with_one = make_spec(entrypoint=("serve",))
    of_template = plan_clone(VM, with_one, origin="templates/t")
    of_snapshot = plan_clone(VM, with_one, origin="snapshots/s")
    assert names(plan_start(VM, with_one)) == [*names(plan_start(VM, spec())), "StartEntrypoint"]
    assert names(of_template)[-1] == "StartEntrypoint"
    assert names(of_snapshot)[-1] == "IdentifyGuest"
    assert "StartEntrypoint" not in names(plan_restore(VM, with_one, origin="snapshots/s"))


def test_a_read_only_workspace_is_so_before_anything_of_the_user_runs() -> None:
    """A boot forgets the mounts of the one before."""
    with_one = make_spec(entrypoint=("serve",))
    steps = names(plan_start(VM, with_one, read_only="/root/project"))
    assert steps[-3:] == ["SettleGuest", "ProtectWorkspace", "StartEntrypoint"]


def test_stop_flushes_before_it_ends_anything() -> None:
    """A1."""
    steps = names(plan_stop(VM, deadline_s=1))
    assert steps[:2] == ["FlushGuest", "ShutDownGuest"]
    assert steps[2:] == names(plan_kill(VM)) == ["EndVmm", "EndNetwork", "RemoveRuntimeDir"]


def test_the_flush_has_most_of_a_stop_and_never_more_than_all() -> None:
    """A1, A2: 500 MiB at 27 MB/s fit into the default; what the user gave bounds all of it."""
    flush, shutdown, *_ = plan_stop(VM, deadline_s=60)
    assert isinstance(flush, FlushGuest) and isinstance(shutdown, ShutDownGuest)
    assert 40 <= flush.deadline_s < shutdown.deadline_s == 60


def test_delete_ends_what_runs_before_it_removes_files() -> None:
    assert names(plan_delete(VM)) == [*names(plan_kill(VM)), "RemoveVmDir"]


@pytest.mark.parametrize(
    "step",
    [
        *plan_create(VM, spec()),
        *flatten(plan_start(VM, spec())),
        *plan_stop(VM, deadline_s=2),
        *snapshot_plan(is_paused=False),
        *flatten(plan_prepare(VM, spec(), origin="snapshots/s")),
        *flatten(plan_restore(VM, spec(), origin="snapshots/s")),
    ],
)
def test_a_step_survives_the_journal(step: Step) -> None:
    assert msgspec.json.decode(msgspec.json.encode(step), type=Step) == step


def test_a_clone_is_identified_last_and_boots_nothing() -> None:
    """D2: whatever else went side by side."""
    plan = plan_clone(VM, spec(), origin="templates/t")
    assert names(plan) == [
        "MakeVmDir",
        "MakeRuntimeDir",
        "CloneDataDisk",
        "StartNetwork",
        "RestoreVmm",
        "MakeHostKeys",
        "LimitVm",
        "IdentifyGuest",
    ]
    assert plan[-1] == (LimitVm(vm_id=VM), IdentifyGuest(vm_id=VM))


def test_a_restore_keeps_the_directory_and_replaces_the_disk() -> None:
    """A6: what else is in the VM's directory stays, and its undoing does not remove it."""
    assert names(plan_restore(VM, spec("none"), origin="snapshots/s")) == [
        "MakeRuntimeDir",
        "ReplaceDataDisk",
        "RestoreVmm",
        "LimitVm",
        "IdentifyGuest",
    ]


def test_a_snapshot_stands_still_for_its_own_pages_only() -> None:
    """A9: what the memory began as is copied before the pause; it is published after it."""
    assert names(snapshot_plan(is_paused=False)) == [
        "BeginSaving",
        "PauseVmm",
        "SaveMachine",
        "ResumeVmm",
        "PublishSnapshot",
    ]


def test_a_snapshot_of_a_paused_vm_leaves_it_paused() -> None:
    steps = names(snapshot_plan(is_paused=True))
    assert steps == ["BeginSaving", "SaveMachine", "PublishSnapshot"]


def test_a_prepared_clone_has_run_something_and_stands_still() -> None:
    """It takes no processor time while it waits to be claimed."""
    assert names(plan_prepare(VM, spec(), origin="templates/t")) == [
        *names(plan_clone(VM, spec(), origin="templates/t")),
        "RehearseGuest",
        "PauseVmm",
    ]
