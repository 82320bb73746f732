"""`make bench-kvm`: what each driver costs on a host with hardware KVM, in one report file.

Runs `drivers.py` for each scenario, network and driver, in private directories, and writes
build/bench-kvm.md: what the host is, medians with their ratio, raw samples. In the emulated host
`python -m tests.kvm.hold bench` does the same with small counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from banger.words import DRIVERS, NO_NETWORK
from tests.bench import drivers
from tests.bench.stage import BANGER, Stage, open_stage

REPORT = Path(__file__).resolve().parents[2] / "build/bench-kvm.md"
SHAPE = ("--memory", "256M", "--disk", "1G", "--vcpu", "1")
COUNTS = {"start": 10, "clone": 20, "exec": 30, "fork": 10, "restore": 10, "density": 20}
FEW = {"start": 4, "clone": 4, "exec": 10, "fork": 3, "restore": 3, "density": 4}
MEASURED = ("user", NO_NETWORK)
"""Networks that a host has without being set up for them."""
Run = Callable[[Sequence[str]], Awaitable[str]]
"""Runs drivers.py with these words; returns what it prints. RuntimeError: it failed."""


@dataclass(frozen=True)
class Row:
    """What one scenario found, by label and driver."""

    network: str
    scenario: str
    samples: Mapping[str, drivers.Samples]


async def measure_all(run: Run, counts: Mapping[str, int], *, flags: Sequence[str]) -> list[Row]:
    """Measure every scenario on every network with every driver."""
    rows = []
    for network in MEASURED:
        for scenario, count in counts.items():
            found: dict[str, drivers.Samples] = {}
            for driver in DRIVERS:
                print(f"measures {scenario}, network {network}, {driver} ...", file=sys.stderr)
                chosen = ("--driver", driver, "--network", network)
                said = await run([scenario, str(count), "--", *SHAPE, *flags, *chosen])
                found[driver] = json.loads(said)
            if (scenario, network) == ("start", NO_NETWORK):
                found |= await _measure_rivals(run, count, flags)
            rows.append(Row(network, scenario, found))
    return rows


async def _measure_rivals(run: Run, count: int, flags: Sequence[str]) -> dict[str, drivers.Samples]:
    """Return what those cost that are installed here and run."""
    found = {}
    for rival in drivers.RIVALS:
        print(f"measures {rival} ...", file=sys.stderr)
        try:
            samples = json.loads(await run([rival, str(count), "--", *SHAPE, *flags]))
        except RuntimeError as error:
            print(error, file=sys.stderr)
            continue
        if samples:
            found[rival] = samples
    return found


def render_report(rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """Return the report as Markdown."""
    lines = ["# Drivers on KVM", "", *(f"- {name}: {fact}" for name, fact in facts.items()), ""]
    first, *others = dict.fromkeys(name for row in rows for name in row.samples)
    ratios = [f"{first} / {other}" for other in others]
    titles = ["what", "network", first, *others, *ratios]
    lines += [_line(titles), _line(["---"] * len(titles))]
    for row in rows:
        lines += [_line(cells) for cells in _cells(row, first, others)]
    raw = [{"scenario": row.scenario, "network": row.network, **row.samples} for row in rows]
    return "\n".join([*lines, "", "```json", json.dumps(raw), "```", ""])


def _cells(row: Row, first: str, others: Sequence[str]) -> list[list[str]]:
    """Return a line for each label; a label that a driver lacks is empty."""
    unit = "MiB" if row.scenario == "density" else "ms"
    labels = dict.fromkeys(label for found in row.samples.values() for label in found)
    found = []
    for label in labels:
        medians = {
            driver: statistics.median(samples[label])
            for driver, samples in row.samples.items()
            if label in samples
        }
        columns = (first, *others)
        seen = [f"{medians[each]:.3g} {unit}" if each in medians else "" for each in columns]
        ratios = [
            f"{medians[first] / medians[other]:.2f}" if {first, other} <= set(medians) else ""
            for other in others
        ]
        found.append([label, row.network, *seen, *ratios])
    return found


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def read_facts(machine: str, doctor: str) -> dict[str, str]:
    """Return what the host is; `doctor` is what `banger doctor --json` says there."""
    wanted = {*DRIVERS, "accel", "slirp4netns"}
    checks = [each for each in json.loads(doctor)["checks"] if each["name"] in wanted]
    return {"machine": machine, **{each["name"]: each["fact"] for each in checks}}


def _read_machine() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    model = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return f"Linux {platform.release()}, {os.cpu_count()} processors, {next(model, 'unknown')}"


async def _run_here(stage: Stage, words: Sequence[str]) -> str:
    stage.environ["PATH"] = f"{Path(BANGER).parent}:{os.environ['PATH']}"
    command = [sys.executable, drivers.__file__, *words]
    return (await asyncio.to_thread(stage.run, *command)).decode()


def main() -> int:
    """Measure, and write the report."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("this user has no /dev/kvm here: make bench measures without it", file=sys.stderr)
        return 2
    with open_stage() as stage:
        try:
            rows = asyncio.run(measure_all(lambda words: _run_here(stage, words), COUNTS, flags=()))
        except RuntimeError as error:  # such as for a driver that is not installed
            print(error, file=sys.stderr)
            return 1
        doctor = stage.run("sh", "-c", f"{BANGER} doctor --json || :").decode()
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(render_report(rows, read_facts(_read_machine(), doctor)), "utf-8")
    print(f"wrote {REPORT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
