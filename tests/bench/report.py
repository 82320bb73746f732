"""The results on paper: docs/performance.json and the table in docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
from collections.abc import Iterable
from pathlib import Path

from tests.bench.result import Result

DOCS = Path(__file__).resolve().parents[2] / "docs"
TABLE = re.compile(r"(<!-- table: begin -->\n).*(<!-- table: end -->)", re.DOTALL)


def write_report(results: Iterable[Result], *, partial: bool) -> None:
    """Print the table; unless only part was measured, also write both files."""
    results = list(results)
    table = render_table(results)
    print(table)
    if partial:
        return
    raw = {
        "host": {
            "kernel": platform.release(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "results": [
            {
                "name": r.name,
                "unit": r.unit,
                "bar": r.bar,
                "figures": {label: round(value, 3) for label, value in r.figures.items()},
                "samples": {k: [round(v, 4) for v in values] for k, values in r.samples.items()},
            }
            for r in results
        ],
    }
    (DOCS / "performance.json").write_text(json.dumps(raw, indent=1) + "\n", "utf-8")
    page = DOCS / "performance.md"
    page.write_text(TABLE.sub(rf"\g<1>{table}\g<2>", page.read_text("utf-8")), "utf-8")


def render_table(results: Iterable[Result]) -> str:
    """Return the medians as a Markdown table."""
    lines = ["| what | median | of | bar | seen |", "|---|---|---|---|---|"]
    for result in results:
        for label, values in result.samples.items():
            median = statistics.median(values)
            lines.append(f"| {label} | {median:.3g} {result.unit} | {len(values)} | | |")
        seen = ", ".join(f"{label} {value:.2f}" for label, value in result.figures.items())
        lines.append(f"| **{result.name}** | | | {result.bar} | {seen or '-'} |")
    return "\n".join(lines) + "\n"
