"""`python -m tests.kvm`: one line for each check; status 0 only if all of them passed.

Makes a private directory for the run and removes it; BANGER_TEST_KEEP=1 keeps it, and
BANGER_TEST_CACHE moves the cache. BANGER_TEST_KVM_QEMU is the QEMU that emulates the host: a path,
or `backports` for that of Debian 12's backports. On a failure the logs of both machines follow.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from banger.errors import BangerError
from banger.layout import layout_from_environment
from tests.kvm.checks import CHECKS, Check
from tests.kvm.machine import Host, describe, open_host, read_inner_logs
from tests.kvm.supplies import Supplies, gather
from tests.kvm.surroundings import enter
from tests.kvm.vms import delete_others
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
        passed, failed = asyncio.run(_run(run, cache))
        failed += _audit(run)
    finally:
        shutil.rmtree(os.environ["XDG_DATA_HOME"], ignore_errors=True)
        if os.environ.get("BANGER_TEST_KEEP"):
            print(f"kept: {run}")
        else:
            shutil.rmtree(run, ignore_errors=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


async def _run(run: Path, cache: Path) -> tuple[int, int]:
    """Boot the host and check everything in it; return how many passed and failed.

    The emulation of SVM lets a processor stand still once in a while, or ends the host's kernel
    (ADR 0030), and not each time anything tells. So a failure is told, and everything is checked
    once more in a second host; what fails there has failed.
    """
    started = time.monotonic()
    supplies = await gather(cache, layout_from_environment(os.environ), run)
    _say("    the supplies are there", started)
    results = await _check_all(supplies, run / "m", to_the_end=False)
    if not all(results):
        print("AGAIN: everything is checked in a second host", flush=True)
        results = await _check_all(supplies, run / "m2", to_the_end=True)
    return results.count(True), results.count(False)


async def _check_all(supplies: Supplies, machine: Path, *, to_the_end: bool) -> list[bool]:
    """Boot a host and check in it, to the end or to the first failure; return what passed."""
    results: list[bool] = []
    logs: Logs = []
    machine.mkdir(mode=0o700)
    try:
        started = time.monotonic()
        async with open_host(supplies, machine) as host:
            _say("    the emulated host is up", started)
            for check in CHECKS:
                results.append(await _try(check, host))
                if results[-1]:
                    continue
                if not await host.answers():
                    break
                logs += await read_inner_logs(host)  # at once: what is in there is deleted
                if not to_the_end:
                    break
                await delete_others(host)
    except (AssertionError, BangerError) as error:
        results.append(False)
        print(f"FAIL the emulated host: {error}", flush=True)
    if not all(results):
        for title, text in [*describe(machine), *logs]:
            print(f"--- {title} ---\n{text}")
    return results


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


def _audit(run: Path) -> int:
    """Report what is left of ours on this host; return 1 if anything is."""
    layout = layout_from_environment(os.environ)
    leaks = find_leaks(run, [layout.runtime, layout.state, layout.data])
    end_processes(find_processes(run))
    for line in leaks:
        print(f"left behind: {line}")
    print("FAIL leak audit" if leaks else "ok   leak audit: nothing is left", flush=True)
    return 1 if leaks else 0


def _say(text: str, started: float) -> float:
    print(f"{text} ({time.monotonic() - started:.1f} s)", flush=True)
    return time.monotonic()


if __name__ == "__main__":
    sys.exit(main())
