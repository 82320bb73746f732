"""Restart policies: who is started again, after which wait, how often."""

from __future__ import annotations

import pytest

from banger.engine.state.restartpolicy import LIMIT, STEADY_S, Restart, plan_restart, wait_before
from banger.errors import InvalidRequest
from banger.model.vm import RestartPolicy, require_ending
from tests.support.specs import change_spec
from tests.unit.engine.test_lifetime import spec


@pytest.mark.parametrize(
    ("policy", "failed", "again"),
    [
        (RestartPolicy.NO, True, False),
        (RestartPolicy.NO, False, False),
        (RestartPolicy.ON_FAILURE, True, True),
        (RestartPolicy.ON_FAILURE, False, False),
        (RestartPolicy.ALWAYS, True, True),
        (RestartPolicy.ALWAYS, False, True),
    ],
)
def test_the_policies(policy: RestartPolicy, failed: bool, again: bool) -> None:
    vm = change_spec(spec(), restart=policy)
    planned = plan_restart(vm, failed=failed, ran_s=0, last=None)
    assert planned == (Restart(1) if again else None)


def test_each_waits_longer_and_after_some_it_is_given_up() -> None:
    vm = change_spec(spec(), restart=RestartPolicy.ALWAYS)
    waits, last = [], plan_restart(vm, failed=True, ran_s=0, last=None)
    while last is not None:
        waits.append(wait_before(last))
        last = plan_restart(vm, failed=True, ran_s=STEADY_S - 1, last=last)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert plan_restart(vm, failed=True, ran_s=STEADY_S, last=Restart(LIMIT)) == Restart(1)


def test_what_does_not_go_together_is_refused() -> None:
    """C7."""
    with pytest.raises(InvalidRequest, match="deleted at the end"):
        require_ending(ttl_s=None, restart=RestartPolicy.ALWAYS, ephemeral=True)
    for ttl_s in (0.5, -1.0, float("inf"), float("nan")):
        with pytest.raises(InvalidRequest, match="time to live"):
            require_ending(ttl_s=ttl_s, restart=RestartPolicy.NO, ephemeral=False)
