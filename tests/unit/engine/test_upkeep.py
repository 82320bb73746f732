"""Console logs stay short whatever the guest writes (A10, E2); clocks are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.engine.upkeep import consoles
from banger.engine.upkeep.consoles import shorten_log
from banger.engine.upkeep.health import find_drift
from banger.host.tails import CUT


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consoles, "CONSOLE_LIMIT_BYTES", 100)
    monkeypatch.setattr(consoles, "CONSOLE_KEPT_BYTES", 10)


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"x" * 100)
    shorten_log(log)
    assert log.read_bytes() == b"x" * 100


def test_a_long_log_keeps_its_end_and_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    with open(log, "ab", buffering=0) as writer:
        writer.write(b"x" * 200 + b"0123456789")
        shorten_log(log)
        writer.write(b"more")
    assert log.read_bytes() == CUT.format(200).encode() + b"0123456789more"


def test_a_log_that_is_gone_is_no_error(tmp_path: Path) -> None:
    shorten_log(tmp_path / "console.log")


@pytest.mark.parametrize(
    ("guest", "drift_s"), [(10.0, 0.0), (10.9, 0.0), (9.0, -1.0), (13.5, 2.5), (-4.0, -14.0)]
)
def test_a_clock_is_off_by_what_the_answers_way_does_not_explain(
    guest: float, drift_s: float
) -> None:
    """D1."""
    assert find_drift(sent=10.0, received=11.0, guest=guest) == drift_s
