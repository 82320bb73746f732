"""The stand-in for Firecracker is like the real one, as far as that was heard."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from banger import guest
from banger.errors import DeadlineExceeded, GuestGone, ToolFailed, VmmFailed
from banger.host import programs
from banger.vmm.firecracker import requests, shapes
from banger.vmm.firecracker.client import Connection, open_connection, wait_listening
from banger.vmm.firecracker.replies import InstanceState
from banger.vmm.firecracker.versions import features_of
from tests.support.agent import find_or_build_agent
from tests.support.firecracker import unsent
from tests.support.firecracker.answers import (
    WAITS,
    find_differences,
    load_heard,
    record,
    render_kernel,
)
from tests.support.firecracker.ending import wait_ended
from tests.support.firecracker.program import write_program
from tests.unit.agent.conftest import wait_gone

DEADLINE_S = 60.0
OLD, NEW = (1, 12, 1), (1, 17, 0)
both = pytest.mark.parametrize("version", [OLD, NEW], ids=["1.12.1", "1.17.0"])


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find_or_build_agent(tmp_path_factory.mktemp("agent"))


@pytest.fixture(autouse=True)
def ended(short_dir: Path) -> Iterator[None]:
    """At the end nothing of a stand-in is left."""
    yield
    wait_ended(short_dir)


@dataclass
class Running:
    """A stand-in that listens, and a connection to it."""

    process: asyncio.subprocess.Process
    api: Connection
    directory: Path

    async def send(self, *asked: requests.Request[Any]) -> Any:
        """Send requests in order; return the last one's reply."""
        for request in asked:
            reply = await self.api.send(request, deadline_s=DEADLINE_S)
        return reply

    async def knock(self, port: int = 5005) -> tuple[bytes, socket.socket]:
        """Ask for a connection to the guest; return the answer, empty if there is none."""
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await loop.sock_connect(sock, str(self.directory / "vsock"))
        await loop.sock_sendall(sock, b"CONNECT %d\n" % port)
        said = b""
        while not said.endswith(b"\n") and (byte := await loop.sock_recv(sock, 1)):
            said += byte
        return said, sock

    async def refusal(self, port: int = 5005) -> bytes:
        """Return what a connection is answered that is not used."""
        said, sock = await self.knock(port)
        sock.close()
        return said

    async def enter(self) -> guest.GuestConnection:
        """Connect to the agent."""
        said, sock = await self.knock()
        assert said.startswith(b"OK "), said
        return await guest.connect(sock, deadline_s=DEADLINE_S)


@contextlib.asynccontextmanager
async def running(program: Path, directory: Path) -> AsyncIterator[Running]:
    api = directory / "api"
    api.unlink(missing_ok=True)
    async with (
        asyncio.timeout(4 * DEADLINE_S),
        programs.piped([str(program), "--api-sock", str(api)], cwd=directory) as process,
    ):
        await wait_listening(str(api), deadline_s=DEADLINE_S)
        async with open_connection(str(api), deadline_s=DEADLINE_S) as connection:
            yield Running(process, connection, directory)


def test_it_answers_what_the_real_one_was_heard_to_answer(short_dir: Path, agent: Path) -> None:
    program = write_program(short_dir, agent=agent, version="1.12.1")
    (short_dir / "d").mkdir()
    said = record([str(program)], short_dir / "d")
    assert find_differences(load_heard("1.12.1"), said) == []


def test_what_differs_is_noticed(agent: Path) -> None:
    heard = load_heard("1.12.1")
    assert find_differences(heard, heard) == []
    life = "from the start to a snapshot"
    for change in [
        lambda said: said.pop(life),
        lambda said: said[life].update(ended=1),
        lambda said: said[life]["answers"].pop(),
        lambda said: said[life]["answers"][0].update(status=200),
        lambda said: said[life]["answers"][0].update(method="PATCH"),
        lambda said: said[life]["answers"][12]["answer"].update(fault_message="no"),
        lambda said: said["before the start"]["answers"][1]["answer"].update(more=1),
    ]:
        said = copy.deepcopy(heard)
        change(said)
        assert find_differences(heard, said) != []


def configured(directory: Path) -> list[requests.Request[Any]]:
    """The requests that make a machine of files in a directory."""
    (directory / "kernel").write_bytes(render_kernel(WAITS))
    (directory / "data").touch()
    return [
        unsent.put_machine_configuration(
            shapes.MachineConfiguration(vcpu_count=2, mem_size_mib=64, track_dirty_pages=True)
        ),
        unsent.put_boot_source(shapes.BootSource(kernel_image_path="kernel")),
        unsent.put_drive(
            shapes.Drive(
                drive_id="data", is_root_device=False, is_read_only=False, path_on_host="data"
            )
        ),
        unsent.put_vsock(shapes.Vsock(guest_cid=3, uds_path="vsock")),
    ]


START = unsent.act(unsent.Action.START)
PAUSE = requests.set_activity(requests.Activity.PAUSED)
RESUME = requests.set_activity(requests.Activity.RESUMED)
SAVE = requests.create_snapshot(
    shapes.SnapshotCreation(snapshot_path="state", mem_file_path="memory")
)


def load(version: tuple[int, int, int], **more: Any) -> requests.Request[None]:
    backend = shapes.MemoryBackend(backend_path="memory", backend_type=shapes.BackendType.FILE)
    snapshot = unsent.SnapshotLoad(snapshot_path="state", mem_backend=backend, **more)
    return requests.load_snapshot(snapshot, features_of(version))


@both
def test_its_guest_is_the_agent_until_it_resets(
    short_dir: Path, agent: Path, version: tuple[int, int, int]
) -> None:
    program = write_program(short_dir, agent=agent, version=".".join(map(str, version)))

    async def scenario() -> None:
        async with running(program, short_dir) as machine:
            await machine.send(*configured(short_dir))
            assert await machine.refusal() == b"", "nobody answers before the start"
            await machine.send(START)
            assert await machine.refusal(5006) == b"", "nor at another port"
            connection = await machine.enter()
            argv = [b"sh", b"-c", b"cat; exit 42"]
            done = await guest.run(connection, argv, stdin=b"through", deadline_s=DEADLINE_S)
            assert (done.status, done.untrusted_stdout) == (42, b"through")
            # What only a guest can do is done for it.
            spec = guest.BootSpec(root="/dev/vda", data="/dev/vdb")
            await guest.boot(connection, spec, deadline_s=DEADLINE_S)
            await guest.sync(connection, deadline_s=DEADLINE_S)
            await guest.ping(connection, deadline_s=DEADLINE_S)
            await guest.poweroff(connection, deadline_s=DEADLINE_S)
            assert await machine.process.wait() == 0
            await connection.close()
            with pytest.raises(VmmFailed):
                await machine.send(PAUSE)

    asyncio.run(scenario())


def test_a_paused_guest_is_silent_and_goes_on(short_dir: Path, agent: Path) -> None:
    program = write_program(short_dir, agent=agent, version="1.12.1")

    async def scenario() -> None:
        async with running(program, short_dir) as machine:
            await machine.send(*configured(short_dir), START)
            connection = await machine.enter()
            await machine.send(PAUSE)
            with pytest.raises(DeadlineExceeded):
                await guest.ping(connection, deadline_s=0.2)
            await machine.send(RESUME)
            await guest.ping(connection, deadline_s=DEADLINE_S)
            await connection.close()
            await machine.send(PAUSE)
            waiting = asyncio.ensure_future(machine.refusal())
            await machine.send(requests.describe_instance())
            assert not waiting.done()
            await machine.send(RESUME)
            assert (await waiting).startswith(b"OK ")

    asyncio.run(scenario())


@pytest.mark.parametrize("is_paused", [False, True])
def test_its_programs_end_with_it(short_dir: Path, agent: Path, is_paused: bool) -> None:
    program = write_program(short_dir, agent=agent, version="1.12.1")

    async def scenario() -> list[int]:
        async with running(program, short_dir) as machine:
            await machine.send(*configured(short_dir), START)
            connection = await machine.enter()
            spec = guest.ExecSpec(argv=(b"sleep", b"1d"))
            session = await guest.start_session(connection, "s", spec, deadline_s=DEADLINE_S)
            command = await guest.start_exec(connection, spec, deadline_s=DEADLINE_S)
            if is_paused:
                await machine.send(PAUSE)
            machine.process.kill()
            await connection.close()
            assert session.pid
            return [session.pid, command.pid]

    for pid in asyncio.run(scenario()):
        wait_gone(pid)


@both
def test_a_snapshot_becomes_another_machine(
    short_dir: Path, agent: Path, version: tuple[int, int, int]
) -> None:
    program = write_program(short_dir, agent=agent, version=".".join(map(str, version)))

    async def save() -> None:
        async with running(program, short_dir) as machine:
            await machine.send(*configured(short_dir), START)
            connection = await machine.enter()
            await machine.send(PAUSE, SAVE)
            await asyncio.wait_for(connection.wait_closed(), DEADLINE_S)  # as of a vsock reset
            await connection.close()

    async def restore() -> None:
        async with running(program, short_dir) as machine:
            await machine.send(load(version, track_dirty_pages=True))
            state = (await machine.send(requests.describe_instance())).state
            assert state is InstanceState.PAUSED
            await machine.send(RESUME)
            if version == OLD:
                with pytest.raises(GuestGone):
                    await machine.enter()
            connection = await machine.enter()
            await guest.ping(connection, deadline_s=DEADLINE_S)
            await connection.close()

    asyncio.run(save())
    assert (short_dir / "memory").stat().st_size == 64 * 1024 * 1024
    (short_dir / "vsock").unlink()
    asyncio.run(restore())


def save_as(name: str, kind: shapes.SnapshotType) -> requests.Request[None]:
    return requests.create_snapshot(
        shapes.SnapshotCreation(snapshot_path="state", mem_file_path=name, snapshot_type=kind)
    )


def changed_pages(file: Path) -> dict[int, bytes]:
    """The pages of a memory file that hold anything."""
    content = file.read_bytes()
    pages = {n: content[n * 4096 : n * 4096 + 4096] for n in range(len(content) // 4096)}
    return {number: page for number, page in pages.items() if any(page)}


def test_a_snapshot_has_the_memory_or_what_has_changed_of_it(short_dir: Path, agent: Path) -> None:
    program = write_program(short_dir, agent=agent, version="1.12.1")
    full, diff = shapes.SnapshotType.FULL, shapes.SnapshotType.DIFF

    async def scenario() -> None:
        async with running(program, short_dir) as machine:
            await machine.send(*configured(short_dir), START)
            await machine.send(PAUSE, save_as("first", diff), save_as("nothing", diff), RESUME)
            await machine.send(PAUSE, save_as("second", diff), save_as("memory", full))
        (short_dir / "vsock").unlink()
        async with running(program, short_dir) as machine:
            await machine.send(load(OLD), save_as("again", full), RESUME)
            await machine.send(PAUSE, save_as("later", full))

    asyncio.run(scenario())
    names = ("first", "nothing", "second", "memory", "again", "later")
    first, nothing, second, whole, again, later = (changed_pages(short_dir / n) for n in names)
    assert len(first) == len(second) == 1 and not nothing
    assert whole == again == first | second
    assert later != whole and later.keys() == whole.keys()


def test_newer_ones_know_more(short_dir: Path, agent: Path) -> None:
    program = write_program(short_dir, agent=agent, version="1.17.0")

    async def scenario() -> None:
        async with running(program, short_dir) as machine:
            await machine.send(*configured(short_dir))
            await machine.send(
                unsent.put_serial(unsent.SerialDevice(serial_out_path="console")),
                unsent.put_balloon(
                    shapes.Balloon(amount_mib=0, deflate_on_oom=True, free_page_reporting=True)
                ),
            )
            await machine.send(START, PAUSE, SAVE)
        async with running(program, short_dir) as machine:
            override = unsent.VsockOverride(uds_path="other")
            await machine.send(load(NEW, vsock_override=override, resume_vm=True))
            assert (short_dir / "other").is_socket()

    asyncio.run(scenario())


def test_it_starts_what_a_file_describes_and_ends_with_its_reset(
    short_dir: Path, agent: Path
) -> None:
    program = write_program(short_dir, agent=agent, version="1.12.1")
    kernel = render_kernel(bytes.fromhex("66baf803b042ee66baf803b041ee"))
    machine = {
        "machine-config": {"vcpu_count": 1, "mem_size_mib": 64},
        "boot-source": {"kernel_image_path": "kernel"},
        "drives": [],
    }
    (short_dir / "machine").write_text(json.dumps(machine))
    (short_dir / "kernel").write_bytes(kernel + bytes.fromhex("b0fee664"))
    argv = [str(program), "--no-api", "--config-file", "machine"]
    done = asyncio.run(programs.run(argv, cwd=short_dir, deadline_s=DEADLINE_S))
    assert done.stdout == b"BA"
    (short_dir / "kernel").unlink()
    with pytest.raises(ToolFailed) as caught:
        asyncio.run(programs.run(argv, cwd=short_dir, deadline_s=DEADLINE_S))
    assert "The kernel file cannot be opened" in (caught.value.details or "")


def test_its_end_is_the_end_of_its_guest(short_dir: Path, agent: Path) -> None:
    """Killed at any moment, and with a guest that stands still, it leaves no process."""
    program = write_program(short_dir, agent=agent, version="1.12.1")

    async def scenario() -> None:
        async with running(program, short_dir) as machine:
            await machine.send(*configured(short_dir), START)
            connection = await machine.enter()
            argv = [b"sh", b"-c", b"echo $PPID"]
            asked = await guest.run(connection, argv, deadline_s=DEADLINE_S)
            pid = int(asked.untrusted_stdout)
            assert b"banger-agent" in Path(f"/proc/{pid}/cmdline").read_bytes()
            await machine.send(PAUSE)
            machine.process.send_signal(signal.SIGKILL)
            await machine.process.wait()
            await connection.close()
            async with asyncio.timeout(DEADLINE_S):
                while is_running(pid):  # noqa: ASYNC110 - /proc has no event
                    await asyncio.sleep(0.01)

    asyncio.run(scenario())


def is_running(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
