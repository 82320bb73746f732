"""Ports that users publish: rows of VMs that do not run, on a real engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from banger import store
from banger.api.ports import PortAdd, PortRemove
from banger.api.requests import PortSpec, VmCreate, VmList, VmRef
from banger.config import load_settings
from banger.engine import Engine, open_engine
from banger.engine.state.operations import Operation
from banger.engine.transitions.make import claim_vm
from banger.engine.verbs.create import create_vm
from banger.engine.verbs.ports import add_port, find_forwards, list_ports, remove_port
from banger.engine.verbs.vms import delete_vm
from banger.engine.views.vms import list_vms
from banger.errors import InvalidRequest, PortNotFound, PortNotPermitted, PortTaken
from banger.forwards import Endpoint, Forward, GuestPort, GuestSocket, SocketPath
from banger.forwards.listening import read_first_port
from banger.layout import Layout, layout_from_environment
from banger.model.names import OperationId, VmId
from tests.support.specs import make_spec


@pytest.fixture
def layout(private_environ: dict[str, str]) -> Layout:
    return layout_from_environment(private_environ)


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that nothing listens on, and that the kernel gives to nobody else."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def with_engine(layout: Layout, work: Callable[[Engine], Coroutine[object, object, None]]) -> None:
    async def run() -> None:
        settings = load_settings(layout.config_file, {})
        async with open_engine(layout, lambda: settings) as engine:
            await work(engine)

    asyncio.run(run())


async def make(engine: Engine, *names: str) -> None:
    """Save VMs that do not run."""
    for name in names:
        spec = make_spec(name=name, disk_mib=64, network="none")
        op = Operation(OperationId(f"op-{name}"), "vm.create", engine.now())
        machine = await claim_vm(engine, op, spec)
        await engine.database.write(store.end_operation, op.id)
        assert await engine.database.read(store.find_address, machine.id) is not None


def spec(guest: int, host: int | None = None, address: str = "127.0.0.1") -> PortSpec:
    return PortSpec(guest_port=guest, host_port=host, host_address=address)


def test_a_published_port_is_the_vms_until_it_is_removed(layout: Layout, free_port: int) -> None:
    """C6, I3: it survives the daemon, no other VM gets it, and it dies with the VM."""

    async def publish(engine: Engine) -> None:
        await make(engine, "web", "other")
        added = await add_port(engine, PortAdd(ref="web", port=spec(80, free_port)))
        assert (added.host_address, added.host_port, added.guest_port, added.state) == (
            "127.0.0.1",
            free_port,
            80,
            "closed",
        )

    async def remove(engine: Engine) -> None:
        (listed,) = await list_ports(engine, VmRef(ref="web"))
        assert (listed.vm, listed.host_port, listed.guest_port) == ("web", free_port, 80)
        with pytest.raises(PortTaken, match="The VM web already publishes ") as caught:
            await add_port(engine, PortAdd(ref="other", port=spec(8080, free_port)))
        assert caught.value.hint == "banger vm port list web"
        assert await list_ports(engine, VmRef(ref="other")) == []
        await remove_port(engine, PortRemove(ref="web", port=str(free_port)))
        assert await list_ports(engine, VmRef(ref="web")) == []
        with pytest.raises(PortNotFound):
            await remove_port(engine, PortRemove(ref="web", port=str(free_port)))
        await add_port(engine, PortAdd(ref="other", port=spec(8080, free_port)))
        vm_id = (await list_vms_by_name(engine))["other"]
        await engine.database.write(store.delete_vm, vm_id)
        await add_port(engine, PortAdd(ref="web", port=spec(80, free_port)))

    with_engine(layout, publish)
    with_engine(layout, remove)


async def list_vms_by_name(engine: Engine) -> dict[str, VmId]:
    return {view.name: view.id for view in await list_vms(engine, VmList())}


def test_a_port_of_a_program_is_refused_with_its_name(layout: Layout) -> None:
    """C6: an explicit number is refused; without a number the next one that is free is taken."""

    async def work(engine: Engine) -> None:
        await make(engine, "web")
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            named = rf"\(pid {os.getpid()}\) listens at 127.0.0.1"
            with pytest.raises(PortTaken, match=named) as caught:
                await add_port(engine, PortAdd(ref="web", port=spec(80, port)))
            assert caught.value.hint == "banger vm port add web 80"
            if port < 50000:
                added = await add_port(engine, PortAdd(ref="web", port=spec(port)))
                assert added.host_port > port and (added.host_port - port) % 10000 == 0
        if read_first_port() > 80:
            with pytest.raises(PortNotPermitted) as refused:
                await add_port(engine, PortAdd(ref="web", port=spec(80, 80)))
            assert refused.value.hint == "banger vm port add web 80"

    with_engine(layout, work)


@pytest.mark.parametrize(
    ("port", "why"),
    [
        (spec(0), "0 is not a port"),
        (spec(65536), "65536 is not a port"),
        (spec(80, 70000), "70000 is not a port"),
        (spec(80, 8080, "host.example"), "is not an IP address"),
        (spec(80, 8080, ""), "is not an IP address"),
        (spec(80, 8080, "127.77.0.9"), "belongs to another VM"),
        (PortSpec(host_port=80), "either a port or a Unix socket"),
        (PortSpec(guest_port=80, guest_path="/a"), "either a port or a Unix socket"),
        (PortSpec(guest_path="/a"), "needs a port or a path on the host"),
        (PortSpec(guest_path="a", host_port=80), "is not the absolute path"),
        (PortSpec(guest_path="/a", host_port=8080, protocol="udp"), "over UDP"),
        (PortSpec(guest_port=53, host_path="/a", protocol="udp"), "excludes a host port and UDP"),
        (PortSpec(guest_port=53, host_port=53, host_path="/a"), "excludes a host port"),
        (PortSpec(guest_port=53, host_path="/tmp/a/"), "is not the absolute path"),
        (PortSpec(guest_port=53, host_path="a.sock"), "is not the absolute path"),
        (PortSpec(guest_port=53, host_path=f"/{'a' * 107}"), "the limit is 107 bytes"),
    ],
)
def test_what_cannot_be_published_is_refused(layout: Layout, port: PortSpec, why: str) -> None:
    """C7, G1: before a VM is made, too."""

    async def work(engine: Engine) -> None:
        await make(engine, "web")
        with pytest.raises(InvalidRequest, match=why):
            await add_port(engine, PortAdd(ref="web", port=port))
        assert await list_ports(engine, VmRef(ref="web")) == []
        op = Operation(OperationId("op-2"), "vm.create", engine.now())
        with pytest.raises(InvalidRequest, match=why):
            await create_vm(engine, op, VmCreate(name="never", ports=[port]))
        assert set(await list_vms_by_name(engine)) == {"web"}

    with_engine(layout, work)


def test_a_vms_own_address_can_be_published_on(layout: Layout) -> None:
    async def work(engine: Engine) -> None:
        await make(engine, "web")
        vm_id = (await list_vms_by_name(engine))["web"]
        own = await engine.database.read(store.find_address, vm_id)
        assert own is not None
        added = await add_port(engine, PortAdd(ref="web", port=spec(80, 8000, own)))
        assert added.host_address == own

    with_engine(layout, work)


def test_which_port_is_meant() -> None:
    """By its endpoint, its number on the host, with the guest's or without, else the guest's."""
    one = Forward(Endpoint("127.0.0.1", 8080), GuestPort(80))
    two = Forward(Endpoint("0.0.0.0", 8081), GuestPort(80))
    six = Forward(Endpoint("::1", 80), GuestPort(8080))
    forwards = [one, two, six]
    assert find_forwards(forwards, "8081") == [two]
    assert find_forwards(forwards, "0.0.0.0:8081:80") == [two]
    assert find_forwards(forwards, "[::1]:80") == [six]
    assert find_forwards(forwards, "8080") == [one]
    assert find_forwards(forwards, "8080:80") == [one]
    assert find_forwards(forwards, "80") == [six]
    assert find_forwards([one, two], "80") == [one, two]
    assert find_forwards(forwards, "9") == []


def test_which_of_both_protocols_or_which_socket_is_meant() -> None:
    tcp = Forward(Endpoint("127.0.0.1", 5353), GuestPort(53))
    udp = Forward(Endpoint("127.0.0.1", 5353, "udp"), GuestPort(53, "udp"))
    app = Forward(SocketPath("/tmp/app.sock"), GuestSocket("/run/app.sock"))
    forwards = [tcp, udp, app]
    assert find_forwards(forwards, "5353") == [tcp, udp]
    assert find_forwards(forwards, "5353/udp") == [udp]
    assert find_forwards(forwards, "127.0.0.1:5353:53/tcp") == [tcp]
    assert find_forwards(forwards, "53/udp") == [udp]
    assert find_forwards(forwards, "/tmp/app.sock") == [app]
    assert find_forwards(forwards, "/tmp/app.sock:/run/app.sock") == [app]
    assert find_forwards(forwards, "/run/app.sock") == [app]


def test_datagrams_have_numbers_of_their_own(layout: Layout, free_port: int) -> None:
    """C6: a UDP port is no TCP port, and belongs to one VM; the program that has it is named."""

    async def work(engine: Engine) -> None:
        await make(engine, "web", "other")
        udp = PortSpec(guest_port=53, host_port=free_port, protocol="udp")
        await add_port(engine, PortAdd(ref="web", port=spec(53, free_port)))
        added = await add_port(engine, PortAdd(ref="web", port=udp))
        assert (added.protocol, added.host_port, added.guest_port) == ("udp", free_port, 53)
        with pytest.raises(
            PortTaken, match=f"The VM web already publishes 127.0.0.1:{free_port}/udp"
        ):
            await add_port(engine, PortAdd(ref="other", port=udp))
        with pytest.raises(InvalidRequest, match=f"127.0.0.1:{free_port}:53/tcp, .*:53/udp"):
            await remove_port(engine, PortRemove(ref="web", port=str(free_port)))
        await remove_port(engine, PortRemove(ref="web", port=f"{free_port}/udp"))
        (left,) = await list_ports(engine, VmRef(ref="web"))
        assert left.protocol == "tcp"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            named = rf"\(pid {os.getpid()}\) listens at 127.0.0.1:{port}/udp"
            with pytest.raises(PortTaken, match=named):
                await add_port(
                    engine,
                    PortAdd(
                        ref="web", port=PortSpec(guest_port=53, host_port=port, protocol="udp")
                    ),
                )

    with_engine(layout, work)


def test_a_socket_file_belongs_to_one_vm_and_goes_with_it(layout: Layout, tmp_path: Path) -> None:
    """C6, I3, A6: one that is stale is replaced and removed, anything else is neither."""
    path = tmp_path / "app.sock"
    app = PortSpec(guest_path="/run/app.sock", host_path=str(path))

    async def work(engine: Engine) -> None:
        await make(engine, "web", "other")
        path.write_text("mine")
        with pytest.raises(PortTaken, match=r"app\.sock exists and is not a socket"):
            await add_port(engine, PortAdd(ref="web", port=app))
        assert path.read_text() == "mine"
        path.unlink()
        with listening_at(path):
            with pytest.raises(PortTaken, match=rf"\(pid {os.getpid()}\) listens at {path}"):
                await add_port(engine, PortAdd(ref="web", port=app))
        added = await add_port(engine, PortAdd(ref="web", port=app))
        assert (added.protocol, added.host_path, added.guest_path, added.host_port) == (
            "unix",
            str(path),
            "/run/app.sock",
            None,
        )
        with pytest.raises(PortTaken, match=f"The VM web already publishes {path}"):
            await add_port(engine, PortAdd(ref="other", port=app))

        with listening_at(path):
            pass
        assert path.exists(), "as a daemon leaves it that is killed"
        op = Operation(OperationId("op-9"), "vm.delete", engine.now())
        await delete_vm(engine, op, "web")
        assert not path.exists()

        await add_port(engine, PortAdd(ref="other", port=app))
        with listening_at(path):
            pass
        await remove_port(engine, PortRemove(ref="other", port=str(path)))
        assert not path.exists()

    with_engine(layout, work)


@contextlib.contextmanager
def listening_at(path: Path) -> Iterator[None]:
    """Listen at a socket, whose file stays behind."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield
