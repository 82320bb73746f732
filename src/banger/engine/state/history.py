"""A VM's use of the host over the last day, at falling resolution, in bounded memory.

Samples as they come, then one for each minute, then one for each ten minutes: the older, the
coarser. A coarse sample has the mean of the processor time, the largest of each memory and the
last size of the disk. A VM has at most `ROWS_MAX` rows of `ROW.size` bytes, 16 KB.

In memory only: the next daemon begins anew. Pure; used in the event loop's thread only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

ROW = struct.Struct("<dffIII")
"""The members of a `Sample`."""
LEVELS = ((0.0, 180), (60.0, 240), (600.0, 144))
"""Seconds of a level's samples, 0: as they come; and how many of them are kept."""
ROWS_MAX = sum(rows for _, rows in LEVELS)


class Sample(NamedTuple):
    """What a VM took in an interval."""

    at: float
    """When the interval ended, in seconds of the Unix epoch."""
    interval_s: float
    cpu_percent: float
    """Of one processor."""
    resident_kib: int
    private_kib: int
    disk_kib: int

    @property
    def begun(self) -> float:
        """When the interval began."""
        return self.at - self.interval_s


def merge(one: Sample, next_: Sample) -> Sample:
    """Return one sample for two that follow each other."""
    seconds = one.interval_s + next_.interval_s
    used = one.cpu_percent * one.interval_s + next_.cpu_percent * next_.interval_s
    return Sample(
        at=next_.at,
        interval_s=seconds,
        cpu_percent=used / seconds,
        resident_kib=max(one.resident_kib, next_.resident_kib),
        private_kib=max(one.private_kib, next_.private_kib),
        disk_kib=next_.disk_kib,
    )


@dataclass
class _Level:
    """The samples of one resolution, oldest first."""

    period_s: float
    rows_max: int
    rows: bytearray = field(default_factory=bytearray)
    pending: Sample | None = None
    """Of the period that has not ended."""

    def add(self, sample: Sample) -> None:
        if self.pending is None:
            self.pending = sample
        elif self.period_s and sample.at // self.period_s == self.pending.at // self.period_s:
            self.pending = merge(self.pending, sample)
        else:
            self.rows += ROW.pack(*self.pending)
            del self.rows[: -self.rows_max * ROW.size]
            self.pending = sample

    def newest(self) -> Iterator[Sample]:
        """Yield the samples, newest first."""
        if self.pending is not None:
            yield self.pending
        for start in range(len(self.rows) - ROW.size, -1, -ROW.size):
            yield Sample._make(ROW.unpack_from(self.rows, start))


class History:
    """What one VM took."""

    def __init__(self) -> None:
        self._levels = [_Level(*level) for level in LEVELS]

    def add(self, sample: Sample) -> None:
        """Add the newest sample."""
        for level in self._levels:
            level.add(sample)

    def since(self, since: float) -> list[Sample]:
        """Return what ended later, oldest first, each time once and as fine as it is kept."""
        found: list[Sample] = []
        begun = float("inf")
        for level in self._levels:
            for sample in level.newest():
                if sample.begun < begun - 1e-3:
                    at, begun = min(sample.at, begun), sample.begun
                    if at > since:
                        found.append(sample._replace(at=at, interval_s=at - begun))
        return found[::-1]
