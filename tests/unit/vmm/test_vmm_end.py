"""How a VMM has ended, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from banger.vmm.process import describe_end


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (None, "has ended"),
        (1, "ended with status 1"),
        (-6, "was ended by signal 6"),
        (134, "was ended by signal 6"),
    ],
)
def test_the_status_and_the_last_line_are_told(
    tmp_path: Path, status: int | None, how: str
) -> None:
    """H5: a jail's monitor passes a signal on as a status."""
    log = tmp_path / "vmm.log"
    assert describe_end(status, log) == f"{how}."
    log.write_text("started\nno memory\n\n")
    assert describe_end(status, log) == f"{how}: no memory"
