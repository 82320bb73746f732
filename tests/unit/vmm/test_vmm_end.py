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
        (137, "was killed, by another process or by the kernel because memory ran out"),
        (148, "ended with status 148"),
    ],
)
def test_the_status_and_the_last_line_are_told(
    tmp_path: Path, status: int | None, how: str
) -> None:
    """H5: a jail's monitor passes SIGKILL on as 137; 148 is Firecracker's own."""
    log = tmp_path / "vmm.log"
    assert describe_end(status, log) == f"{how}."
    log.write_text("started\nno memory\n\n")
    assert describe_end(status, log) == f"{how}: no memory"
