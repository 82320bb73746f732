"""An emulated host to work in by hand: booted once, then entered as often as one likes.

    python -m tests.kvm.hold                boot one, and keep it until Ctrl-C
    python -m tests.kvm.hold user LINE      run a shell line in it as its ordinary user
    python -m tests.kvm.hold root LINE      ... as root
    python -m tests.kvm.hold sync           give it the checkout's banger
    python -m tests.kvm.hold check NAME...  run checks in it
    python -m tests.kvm.hold density N [NETWORK...]  weigh N idle clones of each driver
    python -m tests.kvm.hold bench [SCENARIO...]     measure each driver, a few times

One for each cache of the tests (BANGER_TEST_CACHE); `held` in the cache leads to it while it is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from banger.errors import BangerError
from banger.layout import layout_from_environment
from banger.words import DRIVERS
from tests.bench import drivers
from tests.bench.kvm import FEW, MEASURED, measure_all, read_facts, render_report
from tests.kvm.checks import SCENARIOS
from tests.kvm.density import describe as describe_density
from tests.kvm.density import measure
from tests.kvm.firecracker_checks import BY_HAND
from tests.kvm.machine import INSIDE, SITE, Ended, Host, connect, describe, open_host
from tests.kvm.supplies import gather
from tests.kvm.surroundings import enter
from tests.support.artifacts import CHECKOUT, enter_cache

HELD = "held"
POLL_S = 5.0
TRIES = 3
"""For a measurement: the emulation ends a VM once in a while (ADR 0030)."""
RIVAL = "BANGER_TEST_MSB"
"""Names `_bundled` of microsandbox's wheel, which is measured as well then."""
MSB = "/opt/microsandbox"
IMAGE = "image"
"""The file that names the guests' image."""


def main(words: list[str]) -> int:
    """Do what the words ask for; return the exit status."""
    match words:
        case []:
            return _hold()
        case ["user" | "root" as who, *line]:
            ended = asyncio.run(_run(who, " ".join(line)))
            print(ended.out, end="")
            print(ended.err, end="", file=sys.stderr)
            return ended.status
        case ["sync"]:
            asyncio.run(_sync())
            return 0
        case ["check", *names]:
            return asyncio.run(_check(names))
        case ["density", number, *networks]:
            asyncio.run(_weigh(int(number), networks or list(MEASURED)))
            return 0
        case ["bench", *scenarios]:
            asyncio.run(_measure(scenarios or list(FEW)))
            return 0
    print(__doc__, file=sys.stderr)
    return 2


def _hold() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    run = Path(tempfile.mkdtemp(prefix="bk.", dir="/tmp"))
    cache = enter(run)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_keep(run, cache))
    finally:
        (cache / HELD).unlink(missing_ok=True)
        shutil.rmtree(os.environ["XDG_DATA_HOME"], ignore_errors=True)
        shutil.rmtree(run, ignore_errors=True)
    return 0


async def _keep(run: Path, cache: Path) -> None:
    supplies = await gather(cache, layout_from_environment(os.environ), run)
    machine = run / "m"
    machine.mkdir(mode=0o700)
    (machine / IMAGE).write_text(supplies.guest_image)
    try:
        async with open_host(supplies, machine) as host:
            await host.connection.close()  # the machine has room for one
            (cache / HELD).unlink(missing_ok=True)
            (cache / HELD).symlink_to(machine)
            print(f"held: {machine}", flush=True)
            await asyncio.Event().wait()
    except (AssertionError, BangerError) as error:
        print(f"{error}\n{describe(machine)}", file=sys.stderr)


@contextlib.asynccontextmanager
async def _enter() -> AsyncIterator[Host]:
    machine = enter_cache() / HELD
    image = (machine / IMAGE).read_text()
    async with connect(machine.resolve(), guest_image=image) as host:
        yield host


async def _run(who: str, line: str) -> Ended:
    async with _enter() as host:
        return await (host.root if who == "root" else host.shell)(line)


async def _sync() -> None:
    async with _enter() as host:
        (await host.root(f"rm -rf {SITE}/banger")).expect()
        await host.copy_in(f"{SITE}/banger", CHECKOUT / "src/banger")
        (await host.root(f"python3 -m compileall -q {SITE}/banger || :")).expect()


async def _check(names: list[str]) -> int:
    checks = [*itertools.chain(*SCENARIOS), *BY_HAND]
    known = dict.fromkeys(check.__name__ for check in checks)
    if not names or not known.keys() >= set(names):
        print("The checks are:", *known, sep="\n  ", file=sys.stderr)
        return 2
    async with _enter() as host:
        for check in checks:
            if check.__name__ in names:
                await check(host)
                print(f"ok   {check.__name__}", flush=True)
    return 0


async def _weigh(number: int, networks: list[str]) -> None:
    async with _enter() as host:
        for network in networks:
            for driver in DRIVERS:
                found = await measure(host, driver, network, number)
                print(f"{driver}, network {network}, {number} clones:", flush=True)
                print("".join(f"    {line}\n" for line in describe_density(found)), flush=True)


async def _measure(scenarios: list[str]) -> None:
    """Print the report of `make bench-kvm`, of small counts."""
    async with _enter() as host:
        await host.copy_in(f"{INSIDE}/bench", Path(drivers.__file__).parent)
        if rival := os.environ.get(RIVAL):
            await host.copy_in(MSB, Path(rival))
            link = f"chmod 755 {MSB}/bin/msb; ln -sf {MSB}/bin/msb /usr/local/bin"
            (await host.root(link)).expect()

        async def run(words: Sequence[str]) -> str:
            for _ in range(TRIES):
                ended = await _run_bench(host, words)
                if ended.status == 0:
                    break
                print(f"FAIL {ended.err}", file=sys.stderr)
            return ended.expect().out

        counts = {name: FEW[name] for name in scenarios}
        rows = await measure_all(run, counts, flags=("--image", host.guest_image))
        doctor = (await host.shell("banger doctor --json || :")).expect().out
    print(render_report(rows, read_facts("the emulated host", doctor)))


async def _run_bench(host: Host, words: Sequence[str]) -> Ended:
    """Measure one scenario inside; not within the deadline of one command, since it is long."""
    program = f"python3 {INSIDE}/bench/drivers.py {shlex.join(words)}"
    begin = f"cd; rm -f ended; ({program} >out 2>err; echo $? >ended) >/dev/null 2>&1 &"
    (await host.shell(begin)).expect()
    while (await host.shell("cd; test -s ended")).status:  # noqa: ASYNC110 - in another host
        await asyncio.sleep(POLL_S)
    return await host.shell("cd; cat err >&2; cat out; exit $(cat ended)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
