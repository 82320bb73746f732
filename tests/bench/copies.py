"""Copies of a file against what a guest can send and take."""

from __future__ import annotations

import os

from tests.bench.result import Result
from tests.bench.stage import BANGER, Stage

BYTES = 32 * 1000 * 1000
SAMPLES = 3


def measure_copies(stage: Stage) -> Result:
    """`vm cp` of one file both ways, against the same bytes through `vm exec -- cat`."""
    here, back = stage.directory / "noise", str(stage.directory / "back")
    here.write_bytes(os.urandom(BYTES))
    samples: dict[str, list[float]] = {"cat out": [], "cp out": [], "cat in": [], "cp in": []}
    with stage.vm() as name:
        stage.banger("vm", "cp", str(here), f"{name}:/root/there")
        execute = [BANGER, "vm", "exec", "-i", name, "--"]
        for _ in range(SAMPLES):
            samples["cat out"].append(stage.time([*execute, "cat", "/root/there"]))
            samples["cp out"].append(stage.time([BANGER, "cp", f"{name}:/root/there", back]))
            take = [*execute, "sh", "-c", "cat > /root/taken"]
            samples["cat in"].append(stage.time(take, stdin=here.read_bytes()))
            samples["cp in"].append(stage.time([BANGER, "cp", str(here), f"{name}:/root/again"]))
    result = Result("copies of 32 MB", "s", samples, "cp at most 1.25x cat")
    for way in ("out", "in"):
        result.figures[f"cp / cat {way}"] = result.median(f"cp {way}") / result.median(f"cat {way}")
    return result
