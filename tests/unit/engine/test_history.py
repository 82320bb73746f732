"""The last day of a VM in bounded memory: nothing is there twice, nothing in between is lacking."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.engine.state.history import LEVELS, ROWS_MAX, History, Sample, merge

DAY_S = 86400


def sample(at: float, interval_s: float = 10.0, cpu: float = 50.0, kib: int = 1000) -> Sample:
    return Sample(at, interval_s, cpu, kib, kib // 2, kib // 4)


def test_a_day_is_covered_and_the_older_the_coarser() -> None:
    history = History()
    for number in range(2 * DAY_S // 10):
        history.add(sample(number * 10.0))
    end = 2 * DAY_S - 10
    found = history.since(-math.inf)
    assert len(found) <= ROWS_MAX + len(LEVELS)
    assert end - found[0].begun == pytest.approx(DAY_S, abs=700)
    for one, other in itertools.pairwise(found):
        assert other.begun == pytest.approx(one.at, abs=0.01)
        assert one.interval_s >= other.interval_s - 0.01 or one.interval_s < 600
    assert {round(each.interval_s) for each in found} >= {10, 60, 600}
    assert [each.at for each in history.since(end - 25)] == [end - 20, end - 10, end]


def test_a_coarse_sample_has_the_mean_and_the_largest() -> None:
    merged = merge(sample(10, 10, cpu=30, kib=4000), sample(40, 30, cpu=10, kib=2000))
    assert merged == Sample(40, 40, 15, 4000, 2000, 500)


@given(st.lists(st.tuples(st.floats(0.1, 4000), st.floats(0, 800)), min_size=1, max_size=900))
def test_no_time_is_told_twice_and_no_use_lost(steps: list[tuple[float, float]]) -> None:
    history = History()
    at = 0.0
    for seconds, cpu in steps:
        at += seconds
        history.add(sample(at, seconds, cpu))
    found = history.since(-math.inf)
    assert found[-1].at == at
    for one, other in itertools.pairwise(found):
        assert other.begun >= one.at - 0.01
    if len(steps) <= LEVELS[0][1]:
        used = sum(each.cpu_percent * each.interval_s for each in found)
        assert used == pytest.approx(sum(s * c for s, c in steps), rel=1e-4, abs=1e-3)
