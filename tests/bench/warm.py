"""What a `vm run` costs when the template is there: by the pool, too fast for it, without it."""

from __future__ import annotations

import time

from tests.bench.result import Result
from tests.bench.stage import BANGER, Stage

PACE_S = 2.0
"""From the end of a run to the start of the next: how soon somebody asks again who reads first."""
ROUNDS, RUNS = 3, 5

COLD = [BANGER, "vm", "run", "--rm", "--no-template", "--", "true"]
WARM = [BANGER, "vm", "run", "--rm", "--timings", "--", "true"]
APART, RUSHED, CLONED = f"one each {PACE_S:g} s", "back to back", "without the pool"


def measure_warm_run(stage: Stage) -> Result:
    """Whole runs one after the other, in turns with boots; how many were claimed is a figure."""
    samples: dict[str, list[float]] = {"boot": [], APART: [], RUSHED: [], CLONED: []}
    claims = {APART: 0, RUSHED: 0, CLONED: 0}

    def run(label: str, *, pace_s: float) -> None:
        time.sleep(pace_s)
        seconds, is_claimed = _run(stage)
        samples[label].append(seconds)
        claims[label] += is_claimed

    _run(stage)
    with stage.pool():
        _run(stage)  # the second use: from now on clones are prepared
        for _ in range(ROUNDS):
            samples["boot"].append(stage.time(COLD))
            for _ in range(RUNS):
                run(APART, pace_s=PACE_S)
            for _ in range(RUNS):
                run(RUSHED, pace_s=0)
    for _ in range(RUNS * 2):
        run(CLONED, pace_s=0)
    result = Result("warm vm run --rm -- true", "s", samples, "boot 30x, under 1.0 s")
    for label, number in claims.items():
        result.figures[f"boot / {label}"] = result.median("boot") / result.median(label)
        result.figures[f"{label}: claimed"] = number
    return result


def _run(stage: Stage) -> tuple[float, bool]:
    """Return the seconds that one run took, and whether it claimed a clone that waited."""
    seconds, stages = stage.time_stages(WARM)
    return seconds, "claim" in stages and "restore" not in stages
