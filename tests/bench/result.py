"""What a scenario returns."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Result:
    """Samples by label, and sentences with the figures that matter."""

    name: str
    unit: str
    samples: dict[str, list[float]]
    bar: str
    """What we hold ourselves to, or `-`."""
    figures: dict[str, float] = field(default_factory=dict)
    """Ratios and differences of medians."""

    def median(self, label: str) -> float:
        return statistics.median(self.samples[label])
