"""The state machine and the bounds of sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import InvalidRequest
from banger.model.vm import FOLLOWS, LIVE, VmState, require_sizes, require_transition


def test_every_state_has_its_arrows() -> None:
    assert set(FOLLOWS) == set(VmState)


def test_every_state_can_be_reached_from_a_new_vm() -> None:
    reached = {VmState.CREATED}
    while more := {after for before in reached for after in FOLLOWS[before]} - reached:
        reached |= more
    assert reached == set(VmState)


@given(st.lists(st.sampled_from(list(VmState)), max_size=8))
def test_a_live_state_is_entered_through_starting_only(path: list[VmState]) -> None:
    state = VmState.CREATED
    for wanted in path:
        if wanted not in FOLLOWS[state]:
            with pytest.raises(ValueError, match="cannot go"):
                require_transition(state, wanted)
            continue
        require_transition(state, wanted)
        assert wanted not in LIVE or state in LIVE or wanted is VmState.STARTING
        state = wanted


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({"vcpu": 0}, "vcpu 0"),
        ({"vcpu": 65}, "vcpu 65"),
        ({"memory_mib": -1}, "memory -1 MiB"),
        ({"memory_mib": 64}, "memory 64 MiB"),
        ({"disk_mib": 1}, "disk 1 MiB"),
    ],
)
def test_a_size_out_of_range_is_named(sizes: dict[str, int], named: str) -> None:
    """C7: refused before anything exists."""
    with pytest.raises(InvalidRequest, match=named):
        require_sizes(**{"vcpu": 1, "memory_mib": 512, "disk_mib": 1024} | sizes)


def test_usual_sizes_pass() -> None:
    require_sizes(vcpu=2, memory_mib=2048, disk_mib=8192)
