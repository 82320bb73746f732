"""How much memory idle clones of a template take, by driver: `python -m tests.kvm.hold density N`.

Of each clone all processes count, found by the VM's id in their arguments: its VMM, the jail's
monitor, its network. Pss is what /proc/PID/smaps_rollup says: pages that several processes have are
divided among them.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from tests.kvm.machine import Host
from tests.kvm.vms import banger, list_vms, small

SETTLE_S = 20
READ = """\
for each in /proc/[0-9]*; do
    [ $each = /proc/$$ ] && continue
    line=$(tr '\\0' ' ' <$each/cmdline 2>/dev/null) || continue
    for id in {ids}; do
        case $line in *$id*) awk -v id=$id -v name=$(cat $each/comm) '
            /^Pss:/ {{ pss = $2 }} /^Private_Dirty:/ {{ dirty = $2 }}
            END {{ print id, name, pss, dirty }}' $each/smaps_rollup ;;
        esac
    done
done
"""


@dataclass(frozen=True)
class Density:
    """What a clone takes, in KiB: the median of all."""

    pss_kib: float
    private_dirty_kib: float
    processes: dict[str, float]
    """Median Pss by the name of the program."""


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
    programs = {name for _, name, _, _ in rows}
    return Density(
        statistics.median(sum(pss for vm, _, pss, _ in rows if vm == each) for each in ids),
        statistics.median(sum(dirty for vm, *_, dirty in rows if vm == each) for each in ids),
        {
            program: statistics.median(pss for _, name, pss, _ in rows if name == program)
            for program in sorted(programs)
        },
    )


def _parse(line: str) -> tuple[str, str, int, int]:
    vm, name, pss, dirty = line.split()
    return vm, name, int(pss), int(dirty)


def describe(density: Density) -> Iterator[str]:
    """Yield lines for people."""
    yield f"{density.pss_kib / 1024:.1f} MiB Pss"
    yield f"{density.private_dirty_kib / 1024:.1f} MiB private dirty"
    yield ", ".join(f"{name} {kib / 1024:.1f}" for name, kib in density.processes.items())
