"""`python -m tests.kvm`: one line for each check; status 0 only if every scenario passed.

Makes a private directory for the run and removes it; BANGER_TEST_KEEP=1 keeps it, and
BANGER_TEST_CACHE moves the cache. BANGER_TEST_KVM_QEMU is the QEMU that emulates the host: a path,
or `backports` for that of Debian 12's backports. After a failure the logs of both machines follow.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from banger.errors import BangerError
from banger.host.memory import read_available_mib
from banger.layout import layout_from_environment
from tests.kvm.checks import SCENARIOS
from tests.kvm.machine import MEMORY_MIB, Host, describe, open_host, read_inner_logs
from tests.kvm.supplies import Supplies, gather
from tests.kvm.surroundings import enter
from tests.kvm.todo import Todo
from tests.kvm.vms import Check, Scenario, delete_all
from tests.support.forked import end_forkservers
from tests.support.leaks import end_processes, find_leaks, find_processes

Logs = list[tuple[str, str]]


def main() -> int:
    """Run everything; return the exit status."""
    if os.geteuid() == 0:
        print("the tests run as an ordinary user: make test-kvm", file=sys.stderr)
        return 2
    if platform.machine() != "x86_64":
        print("only an emulated x86-64 CPU offers hardware virtualisation", file=sys.stderr)
        return 2
    # A way out through every `finally`: QEMU would live on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    run = Path(tempfile.mkdtemp(prefix="bk.", dir="/tmp"))
    cache = enter(run)
    try:
        passed = asyncio.run(_run(run, cache))
        end_forkservers()
        clean = _audit(run)
    finally:
        shutil.rmtree(os.environ["XDG_DATA_HOME"], ignore_errors=True)
        if os.environ.get("BANGER_TEST_KEEP"):
            print(f"kept: {run}")
        else:
            shutil.rmtree(run, ignore_errors=True)
    return 0 if passed and clean else 1


async def _run(run: Path, cache: Path) -> bool:
    """Check every scenario in emulated hosts; tell whether all passed.

    The emulation of SVM lets a processor stand still once in a while, or ends a kernel (ADR 0030),
    and not each time anything tells. So what fails is told, and tried again in another host; what
    fails TRIES times has failed.
    """
    started = time.monotonic()
    supplies = await gather(cache, layout_from_environment(os.environ), run)
    _say("    the supplies are there", started)
    todo, numbers = Todo(SCENARIOS), itertools.count(1)
    async with asyncio.TaskGroup() as hosts:
        for _ in range(_count_hosts()):
            hosts.create_task(_try_in_hosts(supplies, run, todo, numbers))
    passed, tried = len(SCENARIOS) - len(todo.left), next(numbers) - 1
    print(f"{passed} of {len(SCENARIOS)} scenarios passed; {tried} hosts were tried", flush=True)
    return not todo.left


def _count_hosts() -> int:
    """Return how many hosts there are at a time: one keeps a processor busy."""
    return 2 if read_available_mib() > 3 * MEMORY_MIB and (os.cpu_count() or 1) > 1 else 1


async def _try_in_hosts(supplies: Supplies, run: Path, todo: Todo, numbers: Iterator[int]) -> None:
    """Boot one host after the other, and try scenarios in them, until none is left."""
    while (first := todo.take()) is not None:
        machine = run / f"m{next(numbers)}"
        machine.mkdir(mode=0o700)
        await _try_in_host(supplies, machine, todo, first)


async def _try_in_host(supplies: Supplies, machine: Path, todo: Todo, first: Scenario) -> None:
    """Boot a host and try scenarios in it as long as it lives."""
    scenario: Scenario | None = first
    failed: list[Scenario] = []
    logs: Logs = []
    try:
        started = time.monotonic()
        async with open_host(supplies, machine) as host:
            _say(f"    the emulated host {machine.name} is up", started)
            while scenario is not None:
                if not await _try_all(scenario, host):
                    failed.append(scenario)
                    todo.fail(scenario)
                    if not await host.answers():
                        break
                    logs += await read_inner_logs(host)  # at once: what is in there is deleted
                    await delete_all(host)
                scenario = todo.take(failed)
    except (AssertionError, BangerError) as error:
        print(f"FAIL the emulated host {machine.name}: {error}", flush=True)
        if scenario is not None and scenario not in failed:
            todo.fail(scenario)
            failed.append(scenario)
    if failed:
        for title, text in [*describe(machine), *logs]:
            print(f"--- {machine.name}, {title} ---\n{text}")


async def _try_all(scenario: Scenario, host: Host) -> bool:
    """Make checks until one fails."""
    for check in scenario:
        if not await _try(check, host):
            return False
    return True


async def _try(check: Check, host: Host) -> bool:
    name = check.__name__.replace("_", " ")
    started = time.monotonic()
    try:
        await check(host)
    except (AssertionError, BangerError, ValueError, LookupError) as error:
        _say(f"FAIL {name}", started)
        print(f"{type(error).__name__}: {error}", flush=True)
        return False
    _say(f"ok   {name}", started)
    return True


def _audit(run: Path) -> bool:
    """Report what is left of ours on this host; tell whether nothing is."""
    layout = layout_from_environment(os.environ)
    leaks = find_leaks(run, [layout.runtime, layout.state, layout.data])
    end_processes(find_processes(run))
    for line in leaks:
        print(f"left behind: {line}")
    print("FAIL leak audit" if leaks else "ok   leak audit: nothing is left", flush=True)
    return not leaks


def _say(text: str, started: float) -> float:
    print(f"{text} ({time.monotonic() - started:.1f} s)", flush=True)
    return time.monotonic()


if __name__ == "__main__":
    sys.exit(main())
