"""What each verb does, in which order."""

from __future__ import annotations

import msgspec
import pytest

from banger.model.names import VmId
from banger.model.vm import Accel, NetworkKind, VmSpec
from banger.plan.lifecycle import (
    plan_clone,
    plan_create,
    plan_delete,
    plan_kill,
    plan_start,
    plan_stop,
)
from banger.plan.steps import Step

VM = VmId("00ff10203040")


def spec(network: NetworkKind = NetworkKind.USER) -> VmSpec:
    return VmSpec(
        name="calm-otter",
        image="i" * 64,
        image_name="debian-bookworm",
        kernel="k" * 64,
        vcpu=1,
        memory_mib=512,
        disk_mib=1024,
        network=network,
        driver="qemu",
        accel=Accel.TCG,
    )


def names(steps: tuple[Step, ...]) -> list[str]:
    return [type(step).__name__ for step in steps]


def test_create_makes_the_directory_before_what_is_in_it() -> None:
    assert names(plan_create(VM, spec())) == ["MakeVmDir", "MakeDataDisk", "MakeHostKeys"]


def test_start_has_the_network_up_before_the_vmm() -> None:
    assert names(plan_start(VM, spec())) == [
        "MakeRuntimeDir",
        "StartNetwork",
        "SpawnVmm",
        "BootGuest",
        "SettleGuest",
    ]


def test_without_a_network_none_is_started() -> None:
    assert "StartNetwork" not in names(plan_start(VM, spec(NetworkKind.NONE)))


def test_stop_flushes_before_it_ends_anything() -> None:
    """A1."""
    steps = names(plan_stop(VM, deadline_s=1))
    assert steps[:2] == ["FlushGuest", "ShutDownGuest"]
    assert steps[2:] == names(plan_kill(VM)) == ["EndVmm", "EndNetwork", "RemoveRuntimeDir"]


def test_delete_ends_what_runs_before_it_removes_files() -> None:
    assert names(plan_delete(VM)) == [*names(plan_kill(VM)), "RemoveVmDir"]


@pytest.mark.parametrize(
    "step", [*plan_create(VM, spec()), *plan_start(VM, spec()), *plan_stop(VM, deadline_s=2)]
)
def test_a_step_survives_the_journal(step: Step) -> None:
    assert msgspec.json.decode(msgspec.json.encode(step), type=Step) == step


def test_a_clone_is_identified_last_and_boots_nothing() -> None:
    """D2: whatever else went side by side."""
    plan = plan_clone(VM, spec(), template="t")
    flat = [step for group in plan for step in (group if isinstance(group, tuple) else (group,))]
    assert names(tuple(flat)) == [
        "MakeVmDir",
        "MakeRuntimeDir",
        "CloneDataDisk",
        "StartNetwork",
        "RestoreVmm",
        "MakeHostKeys",
        "IdentifyGuest",
    ]
    assert plan[-1] == flat[-1]
