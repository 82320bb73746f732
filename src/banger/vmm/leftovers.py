"""Processes of our VMs that are in no record.

A daemon that is killed between a fork and the write of the handle (hazard B4)
leaves a VMM, a jail's monitor or a network back end without a record. Each of
them has a path below the VM's directory among its arguments, and that names
the VM and the state directory that it belongs to: two daemons with state
directories of their own never see each other's.

Only our own kinds of program count, so that a `less` on a VM's console log is
nobody's leftover. A network back end whose daemon dies before the VMM has its
socket needs no finding: it sees the end of its stream and ends.

Reads /proc; signals only what it was handed.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from banger.errors import VmmFailed
from banger.host.identity import ProcessIdentity, identify, send_signal, wait_gone
from banger.layout import Layout
from banger.model.names import VmId

KILL_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Leftover:
    """A process of one of our VMs that is in no record."""

    vm_id: VmId
    process: ProcessIdentity
    program: str


def find_leftovers(
    layout: Layout, recorded: Collection[ProcessIdentity], *, programs: Collection[str]
) -> list[Leftover]:
    """Return every process of this layout's VMs that is not among `recorded`.

    `programs`: what is started for VMs, as patterns that match the name of its file.

    A VM that is being started at this moment has a process that is not recorded
    yet: the caller leaves out VMs whose lifecycle lock is held.
    """
    known = set(recorded)
    ours = re.compile("|".join(programs))
    return [found for found in _vm_processes(layout, ours) if found.process not in known]


async def end_leftover(leftover: Leftover) -> None:
    """Kill a leftover and return when it is gone.

    Raises:
        VmmFailed: it did not end.
    """
    send_signal(leftover.process, signal.SIGKILL)
    try:
        async with asyncio.timeout(KILL_DEADLINE_S):
            await wait_gone(leftover.process)
    except TimeoutError as error:
        raise VmmFailed(
            f"{leftover.program} (pid {leftover.process.pid}) of VM {leftover.vm_id} did not "
            "exit after SIGKILL."
        ) from error


def _vm_processes(layout: Layout, ours: re.Pattern[str]) -> Iterator[Leftover]:
    marker = re.compile(re.escape(f"{layout.vms}/") + r"([0-9a-f]+)/")
    for pid in _own_pids():
        identity = identify(pid)  # before its arguments: they are of nobody else then
        arguments = _read_arguments(pid)
        program = os.path.basename(arguments[0])
        match = marker.search("\0".join(arguments))
        if identity and match and ours.match(program):
            yield Leftover(VmId(match[1]), identity, program)


def _own_pids() -> list[int]:
    pids = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            # A program may make itself undumpable: its directory is root's, its status its user's.
            status = (entry / "status").read_text("utf-8", "replace")
        except OSError:
            continue  # ended while we looked
        uid = re.search(r"^Uid:\s+(\d+)", status, re.MULTILINE)
        if uid and int(uid[1]) == os.getuid():
            pids.append(int(entry.name))
    return pids


def _read_arguments(pid: int) -> list[str]:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return [""]
    return [os.fsdecode(part) for part in raw.split(b"\0")]
