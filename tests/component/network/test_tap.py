"""The user network of a VMM that takes a TAP: real passt, real filter, the kernel's own packets.

Without /dev/net/tun a pair of veth devices stands in for the TAP (`station.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.host.attachments import AttachmentKind, Tap
from banger.layout import Layout
from banger.network.egress.control import control_socket
from banger.network.egress.process import find_egress_filter, is_network_alive, wait_network_gone
from banger.network.port import StartedNetwork
from banger.vmm.tap import DEVICE, find_tap_program, plan_tap, plan_tap_trial
from tests.component.network.test_user_network import (
    NOT_FOR_GUESTS,
    services,
)
from tests.component.network.test_user_network import start as start_network
from tests.component.vmm.machines import make_layout
from tests.support.leftovers import find_leftovers
from tests.support.outward import outward_address
from tests.unit.network.wire import read_all

DEADLINE_S = 100.0
HERE = Path(__file__).parent
OUT_BYTES, IN_BYTES = 16 << 20, 256 << 10
PAUSE_S = 1.0
"""Of a peer that takes nothing: long enough for all buffers on the way to be full."""
SLOW_FRAMES = 20_000
IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--net"]
PYTHON = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": os.environ["PATH"]}
needs_tun = pytest.mark.skipif(
    not os.access(DEVICE, os.R_OK | os.W_OK), reason=f"this host keeps {DEVICE} from users"
)


@pytest.fixture
def layout(short_dir: Path) -> Layout:
    return make_layout(short_dir)


@contextlib.asynccontextmanager
async def running(layout: Layout) -> AsyncIterator[tuple[StartedNetwork, Tap]]:
    """A network that waits for a TAP, and has ended when the block ends."""
    async with asyncio.timeout(DEADLINE_S):
        network = await start_network(layout, AttachmentKind.TAP)
        tap = network.attachment
        assert isinstance(tap, Tap)
        try:
            yield network, tap
        finally:
            tap.side.close()
            await wait_network_gone(network.handle)


def start(argv: list[str], tap: Tap) -> subprocess.Popen[bytes]:
    """Start a program that has the TAP's socket, as a VMM would."""
    return subprocess.Popen(
        argv, pass_fds=[tap.side.fileno()], stdout=subprocess.PIPE, env=PYTHON, cwd=HERE
    )


def station(tap: Tap, **order: Any) -> subprocess.Popen[bytes]:
    script, number = str(HERE / "station.py"), str(tap.side.fileno())
    return start([*IN_NAMESPACE, sys.executable, script, number, json.dumps(order)], tap)


async def finish(process: subprocess.Popen[bytes]) -> str:
    out, _ = await asyncio.to_thread(process.communicate, timeout=DEADLINE_S)
    assert process.returncode == 0
    return out.decode()


def test_a_guest_behind_a_tap_reaches_the_world_and_not_the_hosts_own(layout: Layout) -> None:
    """E4: the same as without a TAP."""

    async def scenario() -> None:
        async with running(layout) as (_, tap):
            with services() as (tcp, udp):
                ports = (("tcp", tcp), ("udp", udp))
                closed = [(kind, to, port, 0.3) for to in NOT_FOR_GUESTS for kind, port in ports]
                world = [(kind, outward_address(), port, 20) for kind, port in ports]
                found = json.loads(await finish(station(tap, attempts=[*closed, *world])))
            assert found == [False] * len(closed) + [True] * len(world)

    asyncio.run(scenario())


@contextlib.contextmanager
def digesting_server() -> Iterator[tuple[int, list[str]]]:
    """Takes what one client sends, notes its digest, and sends bytes of its own."""
    digests: list[str] = []
    with socket.create_server(("0.0.0.0", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                time.sleep(PAUSE_S)
                digests.append(hashlib.sha256(read_all(connection, OUT_BYTES)).hexdigest())
                connection.sendall(hashlib.shake_256(b"in").digest(IN_BYTES))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], digests
        thread.join(DEADLINE_S)


def test_what_a_guest_leaves_to_its_card_arrives_whole(layout: Layout) -> None:
    """A kernel's TCP, in segments of up to 64 KiB without checksums, both ways.

    More than the peer takes at first, and a guest that closes its side before the peer has sent
    anything: passt 2023-03-09 stands still at either (ADR 0076).
    """

    async def scenario() -> None:
        async with running(layout) as (_, tap):
            with digesting_server() as (port, digests):
                order = (outward_address(), port, OUT_BYTES)
                found = json.loads(await finish(station(tap, transfer=order)))
            assert digests == [found["sent"]]
            assert found["size"] == IN_BYTES
            assert (
                found["back"]
                == hashlib.sha256(hashlib.shake_256(b"in").digest(IN_BYTES)).hexdigest()
            )

    asyncio.run(scenario())


def test_the_network_ends_with_what_holds_its_socket(layout: Layout) -> None:
    """B3: however the VMM ends; nothing else keeps the network namespace."""

    async def scenario() -> None:
        async with running(layout) as (network, tap):
            vmm = station(tap, stays=True)
            assert vmm.stdout is not None
            await asyncio.to_thread(vmm.stdout.readline)
            tap.side.close()
            assert is_network_alive(network.handle)
            vmm.kill()
            vmm.communicate()
            await wait_network_gone(network.handle)
        assert find_leftovers(layout, []) == []

    asyncio.run(scenario())


def test_a_network_whose_vmm_never_comes_ends(layout: Layout) -> None:
    """B3: a daemon that dies, or a VMM that does not start."""

    async def scenario() -> None:
        async with running(layout) as (network, tap):
            tap.side.close()
            await wait_network_gone(network.handle)

    asyncio.run(scenario())


def test_a_host_that_lets_users_make_no_tap_says_what_it_lacks() -> None:
    """H8: in one line, which `doctor` passes on."""
    command = plan_tap_trial(find_tap_program())
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        assert done.stderr.startswith("banger-tap: ")
        assert len(done.stderr.splitlines()) == 1
    else:
        assert done.stderr == ""


@needs_tun
def test_a_tap_of_its_own_leads_to_the_world_and_not_to_the_host(layout: Layout) -> None:
    """E4, E5: the program has no privilege, and the TAP by its name."""

    async def scenario() -> None:
        async with running(layout) as (_, tap):
            with services() as (tcp, _):
                addresses = [*NOT_FOR_GUESTS, outward_address()]
                said = await finish(start_user(tap, "connect", str(tcp), *addresses))
        closed = [f"{address} False" for address in NOT_FOR_GUESTS]
        assert said.splitlines() == ["capabilities 0", *closed, f"{outward_address()} True"]

    asyncio.run(scenario())


@needs_tun
def test_a_slow_vmm_loses_no_frame(tmp_path: Path) -> None:
    """Frames beyond what the TAP's queue takes wait for it."""
    frames = b"".join(_number_frame(number) for number in range(SLOW_FRAMES))
    world, outer = socket.socketpair()
    side, guarded = socket.socketpair()
    with world, side:
        numbers = [guarded.fileno(), outer.fileno()]
        with control_socket(tmp_path / "control") as listener:
            numbers.append(listener.fileno())
            command = [find_egress_filter(), "tap", *map(str, numbers), "label"]
            egress_filter = subprocess.Popen(command, pass_fds=numbers)
        guarded.close()
        outer.close()
        vmm = start_user(Tap(side), "count", str(SLOW_FRAMES))
        assert vmm.stdout is not None
        assert vmm.stdout.readline() == b"capabilities 0\n", "it has opened the TAP"
        world.sendall(frames)
        out, _ = vmm.communicate(timeout=DEADLINE_S)
    assert out.decode() == f"in order {SLOW_FRAMES}\n"
    assert egress_filter.wait(DEADLINE_S) == 0


def _number_frame(number: int) -> bytes:
    frame = b"\xff" * 6 + b"\x02" * 6 + b"\x08\x06" + struct.pack("!I", number) + bytes(1496)
    return len(frame).to_bytes(4, "big") + frame


def start_user(tap: Tap, *words: str) -> subprocess.Popen[bytes]:
    before = plan_tap(find_tap_program(), tap)
    return start([*before, sys.executable, str(HERE / "tap_user.py"), *words], tap)
