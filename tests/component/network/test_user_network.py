"""User networking with real back ends and the real egress filter."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from banger.errors import HostNotReady, ToolMissing, VmmFailed
from banger.host import programs
from banger.host.attachments import AttachmentKind
from banger.host.identity import is_alive, send_signal
from banger.layout import Layout
from banger.model.egress import Egress
from banger.model.names import VmId
from banger.network.egress import control, process
from banger.network.egress.process import is_network_alive, wait_network_gone
from banger.network.port import StartedNetwork
from banger.network.user import backend
from banger.network.user.kind import NETWORK
from banger.network.user.process import UserNetworkHandle
from banger.vmm.leftovers import end_leftover
from tests.component.network.frames import Guest, StreamLink
from tests.component.vmm.machines import make_layout
from tests.support.leftovers import find_leftovers
from tests.support.outward import outward_address

VM = VmId("0123456789ab")
INTERFACE = NETWORK.plan_interface(VM)
DEADLINE_S = 60.0
NOT_FOR_GUESTS = ("127.0.0.1", "127.77.3.4", "0.0.0.0", "10.0.2.2", "169.254.169.254")
PYTHON = {"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": os.environ["PATH"]}
OWN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
each_back_end = pytest.mark.usefixtures("back_end")


@pytest.fixture
def layout(short_dir: Path) -> Layout:
    return make_layout(short_dir)


async def start(
    layout: Layout, attachment: AttachmentKind = AttachmentKind.SOCKET
) -> StartedNetwork:
    """Start a network that lets its guest reach the host's own address, as the world."""
    egress = Egress(rules=(f"allow {outward_address()}",))
    return await NETWORK.start(
        INTERFACE,
        attachment=attachment,
        egress=egress,
        log_file=layout.vm_network_log(VM),
        control=layout.vm_egress_socket(VM),
    )


@contextlib.asynccontextmanager
async def running(layout: Layout) -> AsyncIterator[StartedNetwork]:
    """A network that is gone when the block ends; the whole within a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        network = await start(layout)
        try:
            yield network
        finally:
            network.attachment.side.close()
            await wait_network_gone(network.handle)


@contextlib.contextmanager
def services() -> Iterator[tuple[int, int]]:
    """A TCP and a UDP service on every address of this host; the UDP one answers."""
    with (
        socket.create_server(("0.0.0.0", 0)) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo,
    ):
        echo.bind(("0.0.0.0", 0))
        echo.settimeout(0.05)
        done = threading.Event()

        def answer() -> None:
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    data, client = echo.recvfrom(2048)
                    echo.sendto(b"answer to " + data, client)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield listener.getsockname()[1], echo.getsockname()[1]
        finally:
            done.set()
            thread.join()


@each_back_end
def test_a_guest_reaches_the_world_and_not_the_hosts_own(layout: Layout) -> None:
    """E4: by sockets of every kind to addresses that mean the host, link-local, the gateway."""

    async def scenario() -> None:
        async with running(layout) as network:
            guest = Guest(StreamLink(network.attachment.side), INTERFACE)
            with services() as (tcp, udp):
                await asyncio.to_thread(try_everything, guest, tcp, udp)

    asyncio.run(scenario())


def try_everything(guest: Guest, tcp: int, udp: int) -> None:
    assert guest.find_reached(NOT_FOR_GUESTS, tcp=tcp, udp=udp) == []
    # The same frames to an address out in the world arrive: what was refused, was refused.
    assert guest.can_connect(outward_address(), tcp, wait_s=10)
    assert guest.ask(outward_address(), udp, b"q", wait_s=10) == b"answer to q"


def test_a_bandwidth_holds_from_its_change_on(layout: Layout) -> None:
    """At least as long as what a guest sends takes, less what passes in one reading."""

    async def scenario() -> None:
        async with running(layout) as network:
            guest = Guest(StreamLink(network.attachment.side), INTERFACE)
            await network.handle.set_egress(
                INTERFACE, Egress(rules=(f"allow {outward_address()}",))
            )
            await network.handle.set_bandwidth(1)
            with services() as (_, udp):
                begun = time.monotonic()
                await asyncio.to_thread(send_much, guest, udp)
                assert time.monotonic() - begun > 0.8

    asyncio.run(scenario())


def send_much(guest: Guest, udp: int) -> None:
    for _ in range(1000):
        guest.send_datagram("192.168.0.1", udp, bytes(1400))
    answer = guest.ask(outward_address(), udp, b"q", wait_s=DEADLINE_S)
    assert answer == b"answer to q"


@each_back_end
def test_a_guest_has_so_many_exchanges_at_once(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E2: each takes a port of the host, whose programs share them; the first ones go on."""
    monkeypatch.setattr(backend, "CONNECTIONS_MAX", 20)

    async def scenario() -> None:
        async with running(layout) as network:
            guests = [Guest(StreamLink(network.attachment.side), INTERFACE) for _ in range(2)]
            _, most = resource.prlimit(network.handle.processes[1].pid, resource.RLIMIT_NOFILE)
            with services() as (_, udp):
                answered = await asyncio.to_thread(ask_often, *guests, udp=udp, times=2 * most)
            assert 20 <= answered < most

    asyncio.run(scenario())


def ask_often(guest: Guest, again: Guest, *, udp: int, times: int) -> int:
    """Ask from so many ports, and from the first one again; return how many are answered."""
    to, answered = outward_address(), 0
    for _ in range(times):
        answer = guest.ask(to, udp, b"q", wait_s=0.3 if answered >= 20 else DEADLINE_S)
        answered += answer is not None
        if answer is None:
            break
    assert again.ask(to, udp, b"again", wait_s=DEADLINE_S) == b"answer to again"
    return answered


@each_back_end
def test_a_connection_that_a_new_policy_denies_ends(layout: Layout) -> None:
    """I6: its server learns of it at once, though nobody sends anything; and the denial is told."""

    async def scenario() -> None:
        async with running(layout) as network:
            guest = Guest(StreamLink(network.attachment.side), INTERFACE)
            with socket.create_server(("0.0.0.0", 0)) as listener:
                listener.settimeout(DEADLINE_S)
                port = listener.getsockname()[1]
                assert await asyncio.to_thread(
                    guest.can_connect, outward_address(), port, wait_s=10
                )
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(DEADLINE_S)
                    await network.handle.set_egress(INTERFACE, Egress())
                    with contextlib.suppress(ConnectionResetError):
                        assert await asyncio.to_thread(connection.recv, 1) == b""
                assert not await asyncio.to_thread(
                    guest.can_connect, outward_address(), port, wait_s=1
                )
            (denial,) = await network.handle.read_denials(INTERFACE)
            assert denial.target == f"{outward_address()}:{port}/tcp"

    asyncio.run(scenario())


@each_back_end
def test_both_processes_have_sessions_of_their_own_and_end_with_the_stream(layout: Layout) -> None:
    """B1; and nothing is left when the VMM has gone, however it went."""

    async def scenario() -> None:
        async with running(layout) as network:
            handle = network.handle
            assert isinstance(handle, UserNetworkHandle)
            leaders = {
                each.pid for each in (handle.egress_filter, handle.monitor or handle.backend)
            }
            assert {os.getsid(each.pid) for each in handle.processes} == leaders
            assert is_network_alive(network.handle)
            payload = msgspec.json.encode(network.handle)
            assert msgspec.json.decode(payload, type=UserNetworkHandle) == network.handle
        assert not is_network_alive(network.handle)
        assert find_leftovers(layout, []) == []

    asyncio.run(scenario())


@each_back_end
def test_a_network_without_a_record_is_found(layout: Layout) -> None:
    """B4, B5."""

    async def scenario() -> None:
        async with running(layout) as network:
            wanted = set(network.handle.processes)
            # passt starts itself anew, as the program for this processor: it has no arguments
            # for a moment.
            async with asyncio.timeout(60):
                while {each.process for each in find_leftovers(layout, [])} != wanted:  # noqa: ASYNC110 - /proc has no events
                    await asyncio.sleep(0.01)
            assert {each.vm_id for each in find_leftovers(layout, [])} == {VM}

    asyncio.run(scenario())


DYING = """
import asyncio, os, pathlib, signal, sys
from banger.host.attachments import AttachmentKind
from banger.model.egress import Egress
from banger.network.user import slirp
from banger.network.user.kind import NETWORK
slirp._try_to_connect = lambda _: os.kill(os.getpid(), signal.SIGKILL)
log = pathlib.Path(sys.argv[1])
asyncio.run(NETWORK.start(
    NETWORK.plan_interface("0123456789ab"), attachment=AttachmentKind.SOCKET, log_file=log,
    egress=Egress(), control=log.with_name("control")
))
"""


def test_what_a_death_before_the_connection_leaves_is_found_and_ended(layout: Layout) -> None:
    """B4, B5: slirp4netns waits for the connection as long as it takes."""
    script = [sys.executable, "-c", DYING, str(layout.vm_network_log(VM))]
    died = subprocess.run(script, check=False, timeout=DEADLINE_S, env=PYTHON)
    assert died.returncode == -signal.SIGKILL

    async def scenario() -> None:
        async with asyncio.timeout(DEADLINE_S):
            while left := find_leftovers(layout, []):
                assert {each.vm_id for each in left} == {VM}
                for each in left:
                    await end_leftover(each)

    programs = {each.program for each in find_leftovers(layout, [])}
    assert programs == {"bwrap", "slirp4netns"}
    asyncio.run(scenario())


@each_back_end
@pytest.mark.parametrize("victim", ["egress_filter", "backend"])
def test_one_half_does_not_outlive_the_other(layout: Layout, victim: str) -> None:
    async def scenario() -> None:
        async with running(layout) as network:
            send_signal(getattr(network.handle, victim), signal.SIGKILL)
            await wait_network_gone(network.handle)

    asyncio.run(scenario())


@each_back_end
def test_a_network_that_hangs_is_ended(layout: Layout) -> None:
    """A2."""

    async def scenario() -> None:
        async with running(layout) as network:
            send_signal(network.handle.egress_filter, signal.SIGSTOP)
            await network.handle.end()
            assert not is_alive(network.handle.egress_filter)
            await network.handle.end()

    asyncio.run(scenario())


@each_back_end
def test_a_frame_of_impossible_length_costs_that_vm_its_network(layout: Layout) -> None:
    """E2, E5: what only a VMM that was taken over can send."""

    async def scenario() -> None:
        async with running(layout) as network:
            network.attachment.side.sendall(b"\xff" * 4)
            await wait_network_gone(network.handle)
        assert "4294967295" in layout.vm_network_log(VM).read_text()

    asyncio.run(scenario())


def test_a_host_without_a_back_end_says_so(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """H8."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(programs, "SYSTEM_PATH", "/nonexistent")

    async def scenario() -> None:
        with pytest.raises(ToolMissing, match="slirp4netns"):
            await start(layout)

    asyncio.run(scenario())


def test_the_back_end_sees_nothing_of_the_host(layout: Layout) -> None:
    """E5: a guest that breaks out of its network finds no file, no process and no privilege."""

    async def scenario() -> None:
        async with running(layout) as network:
            handle = network.handle
            assert isinstance(handle, UserNetworkHandle)
            inside = Path(f"/proc/{handle.backend.pid}")
            root, own = inside / "root", layout.vm_dir(VM).relative_to("/")
            assert set(os.listdir(root)) <= {"usr", "lib", "lib64", "etc", own.parts[0]}
            assert set(os.listdir(root / "etc")) <= {"ld.so.cache", "resolv.conf"}
            assert set(os.listdir(root / own)) == {"slirp", "slirp4netns"}
            assert os.listdir(root / own / "slirp") == []
            assert os.listdir(layout.vm_dir(VM)) == [layout.vm_network_log(VM).name]
            for name in ("user", "pid", "mnt", "ipc", "uts", "cgroup"):
                assert os.readlink(inside / "ns" / name) != os.readlink(f"/proc/self/ns/{name}")
            status = (inside / "status").read_text()
            for line in ("CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
                assert line in status

    asyncio.run(scenario())


def test_a_banger_without_the_egress_filter_says_so(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """E4: there is no network without it."""
    monkeypatch.setattr(process, "FOLDER", tmp_path)

    async def scenario() -> None:
        with pytest.raises(HostNotReady, match="egress filter"):
            await start(layout)

    asyncio.run(scenario())
    assert find_leftovers(layout, []) == []


@pytest.mark.parametrize("then", ["exit 2", "kill -STOP $$"])
def test_an_egress_filter_that_takes_no_policy_is_ended_and_says_why(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, then: str
) -> None:
    """A2, E4: such as one of another release, which says how it is called; nothing is left."""
    monkeypatch.setattr(process, "FOLDER", tmp_path)
    monkeypatch.setattr(control, "DEADLINE_S", 2.0)
    program = tmp_path / platform.machine() / "banger-egress-filter"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho usage: >&2\n{then}\n")
    program.chmod(0o755)

    async def scenario() -> None:
        with pytest.raises(VmmFailed, match="egress filter") as caught:
            await start(layout)
        assert "usage:" in (caught.value.details or "")
        assert "scripts/venv" in (caught.value.hint or "")

    asyncio.run(scenario())
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
    assert find_leftovers(layout, []) == []


NO_NETWORK = """
import asyncio, pathlib, sys
from banger.errors import HostNotReady
from banger.host.attachments import AttachmentKind
from banger.model.egress import Egress
from banger.network.user.kind import NETWORK
try:
    log = pathlib.Path(sys.argv[1])
    asyncio.run(NETWORK.start(
        NETWORK.plan_interface("0123456789ab"), attachment=AttachmentKind.SOCKET, log_file=log,
        egress=Egress(), control=log.with_name("control")
    ))
except HostNotReady as error:
    print(error.message, error.hint)
"""


def run_in_namespace(*argv: str, deadline_s: float = DEADLINE_S) -> str:
    command = [*OWN_NAMESPACE, sys.executable, *argv]
    python = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    return asyncio.run(programs.run(command, deadline_s=deadline_s, env=python)).text


def test_a_host_without_a_network_says_what_to_do(layout: Layout) -> None:
    """H6: passt needs a route; the remedy is named, and nothing is left."""
    said = run_in_namespace("-c", NO_NETWORK, str(layout.vm_network_log(VM)))
    assert "no route" in said
    assert "--network none" in said
    assert find_leftovers(layout, []) == []


def test_a_guest_resolves_names_where_the_resolver_is_on_the_hosts_loopback(
    short_dir: Path,
) -> None:
    """E4: through the network's own nameserver, and not by the resolver's address.

    Nor does the nameserver lead to what else listens there.
    """
    script = Path(__file__).with_name("own_host.py")
    said = run_in_namespace(str(script), str(short_dir))
    assert said.splitlines() == [
        "10.0.2.3 53 b'answer to query'",
        "10.0.2.3 54 None",
        "127.0.0.53 53 None",
    ]
