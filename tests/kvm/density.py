"""How much memory idle clones of a template take, by driver: `python -m tests.kvm.hold density N`.

Of each clone all processes count, found by the VM's id in their arguments: its VMM, the jail's
monitor, its network. Pss is what /proc/PID/smaps_rollup says: pages that several processes have are
divided among them. /proc/PID/smaps says which files they are of.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.kvm.machine import Host
from tests.kvm.vms import banger, list_vms, small

SETTLE_S = 20
READ = """\
for each in /proc/[0-9]*; do
    [ $each = /proc/$$ ] && continue
    line=$(tr '\\0' ' ' <$each/cmdline 2>/dev/null) || continue
    for id in {ids}; do
        case $line in *$id*) awk -v id=$id -v name=$(cat $each/comm) '
            /^[0-9a-f]+-[0-9a-f]+ / {{ file = $6 == "" ? "anonymous" : $6; sub(".*/", "", file) }}
            /^Pss:/ {{ pss[file] += $2 }} /^Private_Dirty:/ {{ dirty[file] += $2 }}
            END {{ for (file in pss) print id, name, file, pss[file], dirty[file] }}
            ' $each/smaps_rollup $each/smaps ;;
        esac
    done
done
"""
WHOLE = "[rollup]"
SHOWN_KIB = 100
"""The files of which a clone has less are not shown."""


@dataclass(frozen=True)
class Density:
    """What a clone takes, in KiB: the median of all."""

    pss_kib: float
    private_dirty_kib: float
    processes: dict[str, float]
    """Median Pss by the name of the program."""
    files: dict[str, tuple[float, float]]
    """Medians of Pss and of what is private and dirty, by program and file."""


async def measure(host: Host, driver: str, network: str, number: int) -> Density:
    """Start clones, let them idle, and weigh them; they are deleted after."""
    chosen = ("--driver", driver, "--network", network)
    names = [f"idle-{index}" for index in range(number)]
    try:
        for name in names:
            # Together they are promised more memory than the host has.
            await banger(host, "vm", "create", "--force", "--name", name, *small(host), *chosen)
        ids = [str(vm["id"]) for vm in await list_vms(host) if vm["name"] in names]
        read = f"sleep {SETTLE_S}; {READ.format(ids=' '.join(ids))}"
        return _sum_up(ids, (await host.root(read)).expect().out)
    finally:
        there = [str(vm["name"]) for vm in await list_vms(host) if vm["name"] in names]
        await banger(host, "vm", "delete", *there)


def _sum_up(ids: list[str], said: str) -> Density:
    rows = [_parse(line) for line in said.splitlines()]
    wholes = [row for row in rows if row.file == WHOLE]
    return Density(
        statistics.median(sum(row.pss for row in wholes if row.vm == each) for each in ids),
        statistics.median(sum(row.dirty for row in wholes if row.vm == each) for each in ids),
        {
            program: statistics.median(row.pss for row in wholes if row.program == program)
            for program in sorted({row.program for row in rows})
        },
        _sum_files([row for row in rows if row.file != WHOLE]),
    )


def _sum_files(rows: list[_Row]) -> dict[str, tuple[float, float]]:
    """Return the medians of each file, the largest first; of those that have a file."""
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(f"{row.program} {row.file}", []).append(row)
    medians = {
        name: (statistics.median(r.pss for r in group), statistics.median(r.dirty for r in group))
        for name, group in groups.items()
    }
    return dict(sorted(medians.items(), key=lambda item: item[1], reverse=True))


class _Row(NamedTuple):
    vm: str
    program: str
    file: str
    pss: int
    dirty: int


def _parse(line: str) -> _Row:
    vm, program, file, pss, dirty = line.split()
    return _Row(vm, program, file, int(pss), int(dirty))


def describe(density: Density) -> Iterator[str]:
    """Yield lines for people."""
    yield f"{density.pss_kib / 1024:.1f} MiB Pss"
    yield f"{density.private_dirty_kib / 1024:.1f} MiB private dirty"
    yield ", ".join(f"{name} {kib / 1024:.1f}" for name, kib in density.processes.items())
    for name, (pss, dirty) in density.files.items():
        if pss >= SHOWN_KIB:
            yield f"    {name}: {pss / 1024:.2f}, private dirty {dirty / 1024:.2f}"
