"""When a VM ends by itself: by clocks that nobody sets."""

from __future__ import annotations

from typing import Any

import pytest

from banger.engine.state.lifetime import Clock, Lifetime, NextEnd, plan_ending, say_why
from banger.engine.state.runtime import VmRuntime
from banger.model.vm import VmSpec, VmState
from tests.support.specs import make_spec

BOOT = "this-boot"
NOW = Clock(BOOT, boot_s=1000.0, monotonic_s=600.0)
STARTED = Lifetime(boot_id=BOOT, started_s=990.0)


def spec(**more: Any) -> VmSpec:
    return make_spec(
        name="one",
        image="i",
        image_name="i",
        kernel="k",
        disk_mib=64,
        network="none",
        **more,
    )


def used(at: float | None) -> VmRuntime:
    return VmRuntime(used_at=at)


@pytest.mark.parametrize(
    ("vm", "state", "lifetime", "runtime", "expected"),
    [
        (spec(), VmState.RUNNING, STARTED, used(0.0), None),
        (spec(ttl_s=60), VmState.RUNNING, STARTED, used(None), NextEnd(50.0, "ttl")),
        (spec(ttl_s=5), VmState.PAUSED, STARTED, used(None), NextEnd(-5.0, "ttl")),
        (spec(ttl_s=5), VmState.STOPPED, STARTED, used(None), None),
        (spec(ttl_s=5), VmState.RUNNING, None, used(None), None),
        (spec(auto_stop_s=60), VmState.RUNNING, STARTED, used(590.0), NextEnd(50.0, "idle")),
        (spec(auto_stop_s=60), VmState.RUNNING, STARTED, used(None), None),
        (spec(auto_stop_s=60), VmState.PAUSED, STARTED, used(500.0), None),
        (spec(ttl_s=60, auto_stop_s=9), VmState.RUNNING, STARTED, used(600.0), NextEnd(9, "idle")),
        (spec(ttl_s=12, auto_stop_s=9), VmState.RUNNING, STARTED, used(600.0), NextEnd(2, "ttl")),
    ],
)
def test_what_comes_first(
    vm: VmSpec,
    state: VmState,
    lifetime: Lifetime | None,
    runtime: VmRuntime,
    expected: NextEnd | None,
) -> None:
    assert plan_ending(vm, state, lifetime, runtime, NOW) == expected


def test_a_row_of_another_boot_ends_nobody() -> None:
    """B10: its seconds mean nothing here."""
    foreign = Lifetime(boot_id="another", started_s=1.0)
    assert plan_ending(spec(ttl_s=5), VmState.RUNNING, foreign, used(None), NOW) is None


def test_why() -> None:
    vm = spec(ttl_s=7200, auto_stop_s=90)
    assert say_why(vm, NextEnd(0, "ttl")) == "Its time to live of 2h expired."
    assert say_why(vm, NextEnd(0, "idle")) == "It was idle for 90s."
