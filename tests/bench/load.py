"""How long the daemon takes to answer one client while others flood it.

`FLOODERS` clients, in a process of their own, each with a connection over which it asks for the
whole list again as soon as it has the answer. Beside them one client asks for the same list,
`PAUSE_S` after each answer. A sample is the time from its request to the last byte of the answer,
at its socket, before anything is parsed. The daemon is a real one, with rows of `VMS` VMs none of
which runs; all three processes share the host's processors.

`python -m tests.bench.load SOCKET` is the flood; it ends with its stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from banger import store
from banger.api import wire
from banger.host.socketfiles import can_connect
from banger.layout import Layout, layout_from_environment
from banger.version import VERSION
from tests.bench.durability import make_record
from tests.bench.result import Result
from tests.bench.stage import Stage

VMS, FLOODERS, SAMPLES = 200, 50, 500
PAUSE_S = 0.03
READ_BYTES = 1 << 20
START_S = 60.0
REQUEST = wire.format_request(1, "vm.list", params={}, version=VERSION)
CHECKOUT = Path(__file__).resolve().parents[2]


def measure_load(stage: Stage) -> Result:
    """`vm.list` of 200 records at one client: alone, and while 50 flood."""
    with _daemon_with_rows(stage) as layout:
        alone = _probe(layout, SAMPLES)
        with _flood(layout):
            flooded = _probe(layout, SAMPLES)
    samples = {"vm.list, alone": alone, f"vm.list, {FLOODERS} flood": flooded}
    result = Result(f"{VMS} records under load", "ms", samples, "p99 under 20 ms")
    result.figures["alone p99"] = percentile(alone, 99)
    result.figures["flooded p50"] = percentile(flooded, 50)
    result.figures["flooded p99"] = percentile(flooded, 99)
    return result


def percentile(values: list[float], share: int) -> float:
    """Return the value that `share` per cent are not above."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def _probe(layout: Layout, count: int) -> list[float]:
    """Return how long answers took, in ms."""
    samples = []
    with _connected(layout.daemon_socket) as sock:
        for _ in range(count):
            time.sleep(PAUSE_S)
            began = time.perf_counter()
            sock.sendall(REQUEST)
            _read_line(sock)
            samples.append((time.perf_counter() - began) * 1000)
    return samples


def _read_line(sock: socket.socket) -> None:
    while not sock.recv(READ_BYTES).endswith(b"\n"):
        pass


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        yield sock


@contextlib.contextmanager
def _daemon_with_rows(stage: Stage) -> Iterator[Layout]:
    environ = dict(stage.environ)
    for variable in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        folder = stage.directory / f"load-{variable}"
        folder.mkdir(mode=0o700)
        environ[variable] = str(folder)
    layout = layout_from_environment(environ)
    asyncio.run(_insert_rows(layout))
    with subprocess.Popen(
        [sys.executable, "-m", "banger.daemon"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as daemon:
        end = time.monotonic() + START_S
        while not can_connect(layout.daemon_socket):
            assert daemon.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        try:
            yield layout
        finally:
            daemon.terminate()


async def _insert_rows(layout: Layout) -> None:
    database = await store.open_database(layout.database)
    for number in range(VMS):
        await database.write(store.insert_vm, make_record(number))
    await database.close()


@contextlib.contextmanager
def _flood(layout: Layout) -> Iterator[None]:
    argv = [sys.executable, "-m", "tests.bench.load", str(layout.daemon_socket)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, cwd=CHECKOUT) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.stdin.close()
            print(process.stdout.read().decode().strip(), file=sys.stderr)


def flood(path: str) -> None:
    """Ask over many connections, without a pause, until stdin ends."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        for _ in range(FLOODERS):
            sock = stack.enter_context(_connected(Path(path)))
            sock.sendall(REQUEST)
            selector.register(sock, selectors.EVENT_READ)
        answers, began, ended = 0, time.monotonic(), False
        while not ended:
            for key, _ in selector.select():
                if key.fd == 0:
                    ended = True
                    continue
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj.recv(READ_BYTES).endswith(b"\n"):
                    answers += 1
                    if answers == FLOODERS:
                        print("all flood", flush=True)
                    key.fileobj.sendall(REQUEST)
        print(f"the flood: {answers / (time.monotonic() - began):.0f} answers a second")


if __name__ == "__main__":
    flood(sys.argv[1])
