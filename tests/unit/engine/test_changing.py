"""What `vm set` makes of a spec: now, and when the VM boots next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from banger.api.requests import VmSet
from banger.engine.verbs.set import change_record
from banger.errors import InvalidRequest
from banger.model.names import VmId
from banger.model.vm import (
    LIVE,
    Shape,
    VmRecord,
    VmState,
    next_spec,
)
from banger.words import network_words
from tests.support.specs import make_spec

RECORD = VmRecord(
    id=VmId("0123456789ab"),
    spec=make_spec(labels={"team": "a", "old": ""}),
    state=VmState.RUNNING,
    created_at=0.0,
    origin="templates/t",
)


def change(state: VmState, record: VmRecord = RECORD, **changes: object) -> VmRecord:
    params = VmSet(ref="x", **changes)  # type: ignore[arg-type]  # of any field
    return change_record(replace(record, state=state), params)


@pytest.mark.parametrize("state", sorted(set(VmState) - LIVE))
def test_without_a_vmm_the_machine_changes_at_once(state: VmState) -> None:
    changed = change(state, vcpu=2, network="none")
    shape = changed.spec.shape
    assert (shape.vcpu, shape.memory_mib, shape.network) == (2, 512, "none")
    assert changed.pending is None


@pytest.mark.parametrize("state", sorted(LIVE))
def test_under_a_vmm_the_machine_stays_until_it_boots(state: VmState) -> None:
    """D5: what is saved of it meanwhile fits the machine as it is."""
    changed = change(state, vcpu=2, disk_mib=2048)
    assert changed.spec.shape == RECORD.spec.shape
    assert changed.origin == RECORD.origin
    booted = next_spec(changed).shape
    assert (booted.vcpu, booted.disk_mib, booted.memory_mib) == (2, 2048, 512)


def test_changes_add_up_and_can_be_taken_back() -> None:
    once = change(VmState.RUNNING, vcpu=2)
    twice = change(VmState.RUNNING, once, memory_mib=1024)
    assert twice.pending is not None
    assert (twice.pending.vcpu, twice.pending.memory_mib) == (2, 1024)
    back = change(VmState.RUNNING, twice, vcpu=1, memory_mib=512)
    assert back == RECORD


def test_a_disk_that_has_not_grown_yet_may_grow_less() -> None:
    large = change(VmState.RUNNING, disk_mib=8192)
    assert change(VmState.RUNNING, large, disk_mib=1024) == RECORD
    with pytest.raises(InvalidRequest, match="can only grow"):
        change(VmState.RUNNING, large, disk_mib=1023)


def test_what_waits_is_done_to_a_vm_that_has_ended() -> None:
    """A stopped VM has one size, the one that it will boot with."""
    waiting = change(VmState.RUNNING, vcpu=4)
    assert change(VmState.STOPPED, waiting, memory_mib=1024).spec.shape.vcpu == 4


def test_name_and_labels_change_at_once() -> None:
    changed = change(VmState.RUNNING, name="new", labels={"team": "b", "old": None, "more": "1"})
    assert changed.spec.name == "new" and changed.pending is None
    assert changed.spec.labels == {"team": "b", "more": "1"}


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
def test_the_next_boot_has_the_shape_that_waits(now: Shape, waits: Shape | None) -> None:
    record = replace(RECORD, spec=replace(RECORD.spec, shape=now), pending=waits)
    assert next_spec(record).shape == (waits or now)
