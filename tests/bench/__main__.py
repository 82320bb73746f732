"""`python -m tests.bench [NAME...]`: measure, print the table, write the samples.

Everything runs in private XDG directories of its own, through the real command,
against a real daemon and real VMs; images and kernels come from the tests' cache.
The result goes to docs/performance.json (raw samples, medians) and into the table of
docs/performance.md. Measured on whatever machine this is: only ratios mean anything.
"""

from __future__ import annotations

import sys

from tests.bench.report import write_report
from tests.bench.scenarios import SCENARIOS
from tests.bench.stage import open_stage


def main(names: list[str]) -> int:
    """Run the named scenarios, or all."""
    unknown = set(names) - set(SCENARIOS)
    if unknown:
        print(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
        return 2
    results = []
    with open_stage() as stage:
        for name, scenario in SCENARIOS.items():
            if not names or name in names:
                print(f"measures {name} ...", file=sys.stderr, flush=True)
                results.append(scenario(stage))
    write_report(results, partial=bool(names))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
