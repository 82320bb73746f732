"""What `vm set` makes of a spec: now, and when the VM boots next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from banger.api.requests import VmSet
from banger.engine.verbs.set import change_spec
from banger.errors import InvalidRequest
from banger.model.names import VmId
from banger.model.vm import (
    LIVE,
    Accel,
    Shape,
    VmRecord,
    VmSpec,
    VmState,
    next_spec,
    reshape,
    shape_of,
)
from banger.words import network_words

SPEC = VmSpec(
    name="calm-otter",
    image="i" * 64,
    image_name="debian-bookworm",
    kernel="k" * 64,
    vcpu=1,
    memory_mib=512,
    disk_mib=1024,
    network="user",
    driver="qemu",
    accel=Accel.TCG,
    labels={"team": "a", "old": ""},
    origin="templates/t",
)


def change(state: VmState, spec: VmSpec = SPEC, **changes: object) -> VmSpec:
    record = VmRecord(id=VmId("0123456789ab"), spec=spec, state=state, created_at=0.0)
    return change_spec(record, VmSet(ref="x", **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("state", sorted(set(VmState) - LIVE))
def test_without_a_vmm_the_machine_changes_at_once(state: VmState) -> None:
    changed = change(state, vcpu=2, network="none")
    assert (changed.vcpu, changed.memory_mib, changed.network) == (2, 512, "none")
    assert changed.pending is None


@pytest.mark.parametrize("state", sorted(LIVE))
def test_under_a_vmm_the_machine_stays_until_it_boots(state: VmState) -> None:
    """D5: what is saved of it meanwhile fits the machine as it is."""
    changed = change(state, vcpu=2, disk_mib=2048)
    assert shape_of(changed) == shape_of(SPEC)
    assert changed.origin == SPEC.origin
    booted = next_spec(changed)
    assert (booted.vcpu, booted.disk_mib, booted.memory_mib) == (2, 2048, 512)
    assert booted.pending is None and booted.origin is None


def test_changes_add_up_and_can_be_taken_back() -> None:
    once = change(VmState.RUNNING, vcpu=2)
    twice = change(VmState.RUNNING, once, memory_mib=1024)
    assert twice.pending is not None
    assert (twice.pending.vcpu, twice.pending.memory_mib) == (2, 1024)
    back = change(VmState.RUNNING, twice, vcpu=1, memory_mib=512)
    assert back == SPEC


def test_a_disk_that_has_not_grown_yet_may_grow_less() -> None:
    large = change(VmState.RUNNING, disk_mib=8192)
    assert change(VmState.RUNNING, large, disk_mib=1024) == SPEC
    with pytest.raises(InvalidRequest, match="can only grow"):
        change(VmState.RUNNING, large, disk_mib=1023)


def test_what_waits_is_done_to_a_vm_that_has_ended() -> None:
    """A stopped VM has one size, the one that it will boot with."""
    waiting = change(VmState.RUNNING, vcpu=4)
    assert change(VmState.STOPPED, waiting, memory_mib=1024).vcpu == 4


def test_name_and_labels_change_at_once() -> None:
    changed = change(VmState.RUNNING, name="new", labels={"team": "b", "old": None, "more": "1"})
    assert changed.name == "new" and changed.pending is None
    assert changed.labels == {"team": "b", "more": "1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"vcpu": 0},
        {"vcpu": 65},
        {"memory_mib": 1},
        {"memory_mib": -512},
        {"disk_mib": 512},
        {"disk_mib": 2**40},
        {"name": "Not A Name"},
        {"name": ""},
        {"labels": {"a=b": "c"}},
        {"labels": {"": "c"}},
    ],
)
@pytest.mark.parametrize("state", [VmState.RUNNING, VmState.STOPPED])
def test_what_cannot_be_is_refused(state: VmState, changes: dict[str, object]) -> None:
    """C7."""
    with pytest.raises(InvalidRequest):
        change(state, **changes)


SHAPES = st.builds(
    Shape,
    vcpu=st.integers(1, 64),
    memory_mib=st.integers(128, 4096),
    disk_mib=st.integers(64, 9999),
    network=st.sampled_from(network_words()),
)


@given(SHAPES, st.none() | SHAPES)
def test_a_machine_that_is_put_back_has_the_shape_of_then(then: Shape, waits: Shape | None) -> None:
    """A restored VM is the machine that was saved; what waits for its next boot still does."""
    put_back = reshape(replace(SPEC, pending=waits), then)
    assert shape_of(put_back) == then
    assert shape_of(next_spec(put_back)) == (waits or then)
