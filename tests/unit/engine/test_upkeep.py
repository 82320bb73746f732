"""Console logs stay short whatever the guest writes (A10, E2)."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.engine import upkeep
from banger.engine.upkeep import CUT, shorten_log


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "CONSOLE_LIMIT_BYTES", 100)
    monkeypatch.setattr(upkeep, "CONSOLE_KEPT_BYTES", 10)


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
    assert log.read_bytes() == CUT + b"0123456789more"


def test_a_log_that_is_gone_is_no_error(tmp_path: Path) -> None:
    shorten_log(tmp_path / "console.log")
