"""Whether the fiftieth pause, snapshot and fork of a VM costs what the first did (hazard D7)."""

from __future__ import annotations

import statistics
import time

from tests.bench.result import Result
from tests.bench.stage import Stage

CYCLES = 50
COMPARED = 10
"""So many of the first, and of the last: one alone says more about the machine than about us."""
SHAPE = ("--memory", "512M")


def measure_cycles(stage: Stage) -> Result:
    """Pause, resume, snapshot, fork and delete the same VM, again and again."""
    samples: list[float] = []
    with stage.vm(*SHAPE) as name:
        for number in range(CYCLES + 1):
            started = time.perf_counter()
            stage.banger("vm", "pause", name)
            stage.banger("vm", "resume", name)
            stage.banger("vm", "snapshot", "create", name, "cycle")
            stage.banger("vm", "fork", name, "--name", "bench-cycle")
            stage.banger("vm", "delete", "bench-cycle-1")
            stage.banger("vm", "snapshot", "delete", name, "cycle")
            if number:
                samples.append((time.perf_counter() - started) * 1000)
    result = Result(
        "pause, snapshot, fork", "ms", {"one cycle": samples}, "last at most 1.2x first"
    )
    first, last = samples[:COMPARED], samples[-COMPARED:]
    result.figures["last / first"] = statistics.median(last) / statistics.median(first)
    return result
