"""The server with a real socket, in this process; its handlers are small and real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.api import wire
from banger.api.requests import NoParams, VmCreate, VmExec, VmRef, WorkspaceInspect
from banger.api.results import StartedStream
from banger.api.stream import format_control, format_frame
from banger.daemon.calls import Call, Handlers
from banger.daemon.dispatch import Dispatcher
from banger.daemon.fronts.unix.server import Server, bound_socket
from banger.engine.state.running import OperationTable, cancel_running
from banger.errors import Conflict, Denied, HostNotReady, NotCancellable, VmNotFound
from banger.host.socketfiles import remove_stale_socket
from banger.version import VERSION

Json = dict[str, Any]


class Peer:
    """A client that sends exactly what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, method: str, params: object = None, **more: object) -> None:
        document = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}, **more}
        await self.send_bytes(json.dumps(document).encode() + b"\n")

    async def send_bytes(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> Json:
        document: Json = json.loads(await self.reader.readline())
        return document

    async def call(self, method: str, params: object = None, **more: object) -> Json:
        await self.send(method, params, **more)
        return await self.receive()

    def close(self) -> None:
        self.writer.close()


class Running:
    """A server in this process."""

    def __init__(self, path: Path, reports: Path) -> None:
        self.path = path
        self.reports = reports
        self.stop = asyncio.Event()
        self.deaf = asyncio.Event()
        self.operations = OperationTable()
        self.task: asyncio.Task[None]

    async def connect(self) -> Peer:
        return Peer(*await asyncio.open_unix_connection(self.path, limit=1 << 24))


@contextlib.asynccontextmanager
async def running(
    directory: Path, handlers: Handlers, *, owner_uid: int | None = None
) -> AsyncIterator[Running]:
    path = directory / "run/bangerd.sock"
    server = Running(path, directory / "reports")
    uid = os.getuid() if owner_uid is None else owner_uid
    with bound_socket(path) as listener:
        dispatcher = Dispatcher(handlers, operations=server.operations, reports=server.reports)
        server.task = asyncio.create_task(
            Server(dispatcher, owner_uid=uid).run(listener, stop=server.stop, deaf=server.deaf)
        )
        try:
            yield server
        finally:
            server.stop.set()
            await server.task


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(bounded())


async def echo(_: Call, params: VmRef) -> object:
    return {"ref": params.ref}


async def send_and_read_rest(path: Path, *parts: bytes) -> bytes:
    """Send everything although the server may close, and return all that it said.

    By a plain socket: asyncio's streams forget what came in once sending has failed.
    """
    loop = asyncio.get_running_loop()
    rest = b""
    with socket.socket(socket.AF_UNIX) as plain:
        plain.setblocking(False)
        await loop.sock_connect(plain, str(path))
        with contextlib.suppress(ConnectionError):
            for part in parts:
                await loop.sock_sendall(plain, part)
        with contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(plain, 65536):
                rest += data
    return rest


# --- the socket ----------------------------------------------------------------


def test_the_socket_is_private_from_birth(short_dir: Path) -> None:
    """G1: directory 0700, socket 0600, whatever the umask is; gone afterwards."""
    old = os.umask(0)
    try:
        path = short_dir / "a/b/bangerd.sock"
        with bound_socket(path):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert not path.exists()
    finally:
        os.umask(old)


def test_a_directory_that_was_open_to_others_is_closed(short_dir: Path) -> None:
    """G1: one that is ours is tightened before the socket exists."""
    (short_dir / "open").mkdir()
    (short_dir / "open").chmod(0o777)
    with bound_socket(short_dir / "open/bangerd.sock"):
        assert stat.S_IMODE((short_dir / "open").stat().st_mode) == 0o700


def test_a_directory_of_somebody_else_is_refused() -> None:
    """G1: /proc/self/../.. style tricks aside, root's directory is not ours."""
    with pytest.raises(Denied, match="owner"), bound_socket(Path("/usr/bangerd.sock")):
        pass


def test_a_stale_socket_is_removed_and_nothing_else(short_dir: Path) -> None:
    """A6: a file, or a socket that somebody answers on, stays."""
    path = short_dir / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
        with pytest.raises(Conflict, match="listens"):
            remove_stale_socket(path)
    remove_stale_socket(path)
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(Conflict, match="not a socket"):
        remove_stale_socket(path)
    assert path.read_text() == "mine"


def test_a_path_that_is_too_long_says_what_to_do(short_dir: Path) -> None:
    with pytest.raises(HostNotReady) as caught, bound_socket(short_dir / ("x" * 100) / "s"):
        pass
    assert "XDG_RUNTIME_DIR" in str(caught.value.hint)


def test_another_users_process_is_turned_away(short_dir: Path) -> None:
    """G1: by its credentials, before a byte is read. Here we are the other user."""

    async def test() -> None:
        async with running(short_dir, {"vm.show": echo}, owner_uid=os.getuid() + 1) as server:
            peer = await server.connect()
            with contextlib.suppress(ConnectionError):
                await peer.send("vm.show", {"ref": "a"})
                assert await peer.reader.read() == b""
            peer.close()

    run(test)


# --- requests --------------------------------------------------------------------


def test_requests_sent_ahead_are_answered_in_turn(short_dir: Path) -> None:
    async def test() -> None:
        async with running(short_dir, {"vm.show": echo}) as server:
            peer = await server.connect()
            for number in range(200):
                await peer.send("vm.show", {"ref": f"vm{number}"}, id=number)
            for number in range(200):
                expected = {"jsonrpc": "2.0", "id": number, "result": {"ref": f"vm{number}"}}
                assert await peer.receive() == expected
            peer.close()

    run(test)


@pytest.mark.parametrize(
    ("line", "rpc_code", "says"),
    [
        (b"{", -32700, "JSON"),
        (b"\xff\xfe", -32700, "JSON"),
        (b"[" * 100_000, -32700, "JSON"),
        (b"[]", -32700, "object"),
        (b'{"a": NaN}', -32700, "NaN"),
        (b"{}", -32600, "jsonrpc"),
        (b'{"jsonrpc":"2.0","id":1}', -32600, "method"),
        (b'{"jsonrpc":"2.0","id":1,"method":"vm.show","extra":1}', -32600, "extra"),
        (b'{"jsonrpc":"2.0","id":1,"method":"vm.fly"}', -32601, "vm.fly"),
        (b'{"jsonrpc":"2.0","id":1,"method":"vm.show","params":{"ref":1}}', -32602, "$.ref"),
        (b'{"jsonrpc":"2.0","id":1,"method":"vm.show","params":{"reff":"a"}}', -32602, "reff"),
        (b'{"jsonrpc":"2.0","id":1,"method":"vm.show","params":[]}', -32602, "vm.show"),
        (b'{"jsonrpc":"2.0","id":1,"method":"vm.show"}', -32602, "ref"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    short_dir: Path, line: bytes, rpc_code: int, says: str
) -> None:
    """H6: the field, the member or the method; the connection goes on."""

    async def test() -> None:
        async with running(short_dir, {"vm.show": echo}) as server:
            peer = await server.connect()
            await peer.send_bytes(line + b"\n")
            error = (await peer.receive())["error"]
            assert error["code"] == rpc_code
            assert says in error["message"]
            assert error["data"]["exit_code"] == 2
            assert (await peer.call("vm.show", {"ref": "a"}))["result"] == {"ref": "a"}
            peer.close()

    run(test)


@pytest.mark.parametrize(
    "path", ["plain", "b\u00fccher \u2028 \U0001f40b", "no text: \udcff", "\n"]
)
def test_a_result_comes_back_whatever_its_characters(short_dir: Path, path: str) -> None:
    """H7, F4: paths that are no UTF-8 travel in results, too."""

    async def echo_path(_: Call, params: WorkspaceInspect) -> object:
        return {"path": params.path}

    async def test() -> None:
        async with running(short_dir, {"workspace.inspect": echo_path}) as server:
            peer = await server.connect()
            reply = await peer.call("workspace.inspect", {"path": path})
            assert reply["result"] == {"path": path}
            peer.close()

    run(test)


@pytest.mark.parametrize("character", ["x", "\udcff"])
def test_a_result_that_is_too_long_is_an_error(short_dir: Path, character: str) -> None:
    async def long(_: Call, __: VmRef) -> object:
        return {"ref": character * (wire.MAX_LINE_BYTES)}

    async def test() -> None:
        async with running(short_dir, {"vm.show": long}) as server:
            peer = await server.connect()
            error = (await peer.call("vm.show", {"ref": "a"}))["error"]
            assert error["data"]["code"] == "internal-error" and "too long" in error["message"]
            peer.close()

    run(test)


def test_a_line_without_an_end_is_bounded(short_dir: Path) -> None:
    """Memory stays bounded: an answer, then the connection ends."""

    async def test() -> None:
        async with running(short_dir, {"vm.show": echo}) as server:
            assert b"8 MiB" in await send_and_read_rest(server.path, *[b"x" * (1 << 18)] * 40)

    run(test)


def test_a_big_request_passes(short_dir: Path) -> None:
    async def test() -> None:
        async with running(short_dir, {"vm.show": echo}) as server:
            peer = await server.connect()
            ref = "x" * 7_000_000
            assert (await peer.call("vm.show", {"ref": ref}))["result"] == {"ref": ref}
            peer.close()

    run(test)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(max_size=8),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(["jsonrpc", "id", "method", "params", "client", "ref"]),
                        inner,
                    )
                ),
            ).map(lambda value: json.dumps(value).encode()),
        ),
        max_size=5,
    )
)
def test_no_bytes_end_the_server(short_dir: Path, lines: list[bytes]) -> None:
    """E2 for the socket: whatever comes, the next client is served and nothing is a bug."""

    async def test() -> None:
        async with running(short_dir, {"vm.show": echo}) as server:
            peer = await server.connect()
            with contextlib.suppress(ConnectionError):
                await peer.send_bytes(b"\n".join(lines) + b"\n")
                peer.writer.write_eof()
                await peer.reader.read()
            peer.close()
            other = await server.connect()
            assert (await other.call("vm.show", {"ref": "a"}))["result"] == {"ref": "a"}
            other.close()
            assert not server.reports.exists()

    run(test)


def test_another_version_is_refused_before_anything_is_done(short_dir: Path) -> None:
    """The handshake rides on the request; `daemon.status` and no version at all pass."""
    done: list[str] = []

    async def show(_: Call, params: VmRef) -> object:
        done.append(params.ref)
        return {}

    async def status(_: Call, __: NoParams) -> object:
        return {"version": VERSION}

    async def test() -> None:
        async with running(short_dir, {"vm.show": show, "daemon.status": status}) as server:
            peer = await server.connect()
            reply = await peer.call("vm.show", {"ref": "a"}, client="0.0.1")
            assert reply["error"]["data"]["code"] == "version-mismatch"
            assert done == []
            assert "result" in await peer.call("daemon.status", client="0.0.1")
            assert "result" in await peer.call("vm.show", {"ref": "b"}, client=VERSION)
            assert "result" in await peer.call("vm.show", {"ref": "c"})
            assert done == ["b", "c"]
            peer.close()

    run(test)


def test_a_bug_becomes_a_report_and_the_daemon_goes_on(short_dir: Path) -> None:
    """H6, G6: exit code 3, a report with the traceback and without the request's values."""

    async def show(_: Call, params: VmRef) -> object:
        raise ZeroDivisionError

    async def test() -> None:
        async with running(short_dir, {"vm.show": show}) as server:
            peer = await server.connect()
            error = (await peer.call("vm.show", {"ref": "s3cret"}))["error"]
            [report] = server.reports.iterdir()
            assert error["data"]["exit_code"] == 3
            assert str(report) in error["message"]
            assert error["data"]["operation_id"] in report.name
            assert "ZeroDivisionError" in report.read_text()
            assert "s3cret" not in report.read_text()
            assert stat.S_IMODE(report.stat().st_mode) == 0o600
            assert "error" in await peer.call("vm.show", {"ref": "b"})
            peer.close()

    run(test)


def test_errors_carry_everything(short_dir: Path) -> None:
    """H6: code, sentence, hint, details, operation."""

    async def show(_: Call, params: VmRef) -> object:
        raise VmNotFound("There is no VM a.", hint="banger vm list", details="x", retryable=True)

    async def test() -> None:
        async with running(short_dir, {"vm.show": show}) as server:
            peer = await server.connect()
            error = (await peer.call("vm.show", {"ref": "a"}))["error"]
            operation_id = error["data"].pop("operation_id")
            assert operation_id.startswith("op-")
            assert error == {
                "code": -32000,
                "message": "There is no VM a.",
                "data": {
                    "code": "vm-not-found",
                    "hint": "banger vm list",
                    "details": "x",
                    "retryable": True,
                    "exit_code": 4,
                },
            }
            peer.close()

    run(test)


# --- leaving -------------------------------------------------------------------


class Held:
    """A handler that waits, and tells how that ended."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, _: Call, __: object) -> object:
        self.began.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return {}


def test_a_client_that_leaves_cancels_its_request(short_dir: Path) -> None:
    """C5: at once, although nobody reads from the connection meanwhile."""

    async def test() -> None:
        held = Held()
        async with running(short_dir, {"vm.start": held}) as server:
            peer = await server.connect()
            await peer.send("vm.start", {"ref": "a"})
            # And what was sent ahead does not hide it.
            await peer.send_bytes(b" " * 100_000)
            await held.began.wait()
            peer.close()
            await held.cancelled.wait()

    run(test)


def test_an_operation_is_cancelled_and_its_client_told(short_dir: Path) -> None:
    """C5, H6: the connection goes on; a method that is declared detached is not cancelled."""

    async def test() -> None:
        start, stop = Held(), Held()
        handlers = {"vm.start": start, "vm.stop": stop, "vm.show": echo}
        async with running(short_dir, handlers) as server:
            starting, stopping = await server.connect(), await server.connect()
            await starting.send("vm.start", {"ref": "a"})
            await stopping.send("vm.stop", {"ref": "a"})
            await start.began.wait()
            await stop.began.wait()
            first, second = server.operations.list()
            await cancel_running(first)
            error = (await starting.receive())["error"]
            assert (error["data"]["code"], error["data"]["exit_code"]) == ("cancelled", 130)
            assert error["data"]["operation_id"] == first.operation.id
            assert (await starting.call("vm.show", {"ref": "b"}))["result"]
            with pytest.raises(NotCancellable):
                await cancel_running(second)
            stop.release.set()
            assert "result" in await stopping.receive()
            assert server.operations.list() == []
            starting.close()
            stopping.close()

    run(test)


def test_something_else_that_is_cancelled_is_an_error_reply(short_dir: Path) -> None:
    """H2: what the handler waited for was cancelled, not the handler: its client is told."""

    async def start(_: Call, __: VmRef) -> object:
        work = asyncio.create_task(asyncio.Event().wait())
        asyncio.get_running_loop().call_soon(work.cancel)
        return await work

    async def test() -> None:
        async with running(short_dir, {"vm.start": start}) as server:
            peer = await server.connect()
            error = (await peer.call("vm.start", {"ref": "a"}))["error"]
            assert error["data"]["code"] == "cancelled"
            assert "error" in await peer.call("vm.start", {"ref": "a"})
            peer.close()

    run(test)


def test_a_client_that_only_stops_sending_gets_its_reply(short_dir: Path) -> None:
    """`nc -N`: a half-closed connection is not a lost client."""

    async def test() -> None:
        held = Held()
        async with running(short_dir, {"vm.start": held}) as server:
            peer = await server.connect()
            await peer.send("vm.start", {"ref": "a"})
            peer.writer.write_eof()
            await held.began.wait()
            held.release.set()
            assert (await peer.receive())["result"] == {}
            assert not held.cancelled.is_set()
            peer.close()

    run(test)


def test_a_detached_method_goes_on(short_dir: Path) -> None:
    """`vm.delete` is finished although its client has gone."""
    finished = asyncio.Event()

    async def test() -> None:
        held = Held()

        async def delete(call: Call, params: object) -> object:
            await held(call, params)
            finished.set()
            return {}

        async with running(short_dir, {"vm.delete": delete, "vm.show": echo}) as server:
            peer = await server.connect()
            await peer.send("vm.delete", {"ref": "a"})
            await held.began.wait()
            peer.close()
            other = await server.connect()
            assert "result" in await other.call("vm.show", {"ref": "a"})
            other.close()
            assert not held.cancelled.is_set()
            held.release.set()
            await finished.wait()

    run(test)


def test_callbacks_run_when_a_client_leaves_and_not_when_the_daemon_stops(
    short_dir: Path,
) -> None:
    """B11: an ephemeral VM goes with its client, and survives a restart of the daemon."""
    left: list[str] = []

    async def create(call: Call, params: VmCreate) -> object:
        async def clean_up() -> None:
            left.append(str(params.name))

        call.on_disconnect(clean_up)
        return {}

    async def test() -> None:
        async with running(short_dir, {"vm.create": create, "vm.show": echo}) as server:
            leaves, stays = await server.connect(), await server.connect()
            await leaves.call("vm.create", {"name": "leaves"})
            await stays.call("vm.create", {"name": "stays"})
            leaves.close()
            while not left:
                await stays.call("vm.show", {"ref": "a"})
        stays.close()

    run(test)
    assert left == ["leaves"]


def test_stopping_ends_waiting_requests_and_finishes_detached_ones(short_dir: Path) -> None:
    """B11: who waits is woken; a delete in progress is not cut in two."""

    async def test() -> None:
        waiting, deleting = Held(), Held()
        async with running(short_dir, {"vm.start": waiting, "vm.delete": deleting}) as server:
            first, second, idle = [await server.connect() for _ in range(3)]
            await first.send("vm.start", {"ref": "a"})
            await second.send("vm.delete", {"ref": "a"})
            await waiting.began.wait()
            await deleting.began.wait()
            server.stop.set()
            await waiting.cancelled.wait()
            assert await first.reader.read() == b""
            assert (await idle.receive())["method"] == "goodbye"
            assert await idle.reader.read() == b""
            deleting.release.set()
            assert (await second.receive())["result"] == {}
            await server.task
            for peer in (first, second, idle):
                peer.close()

    run(test)


# --- progress and streams ------------------------------------------------------


def test_progress_comes_before_the_reply_from_any_thread(short_dir: Path) -> None:
    """H9: every stage is told; the operation's id is in each."""
    main_thread = threading.get_ident()

    async def create(call: Call, _: VmCreate) -> object:
        def work() -> None:
            assert threading.get_ident() != main_thread
            call.operation.progress("copy", 1, 2)
            call.operation.progress("copy", 2, 2)

        call.operation.note("spec", "1 vcpu")
        await asyncio.to_thread(work)
        call.operation.progress("boot")
        return {"id": call.operation.id}

    async def test() -> None:
        async with running(short_dir, {"vm.create": create}) as server:
            peer = await server.connect()
            await peer.send("vm.create")
            got = [await peer.receive() for _ in range(5)]
            operation_id = got[-1]["result"]["id"]
            assert [(d["method"], d["params"]) for d in got[:-1]] == [
                ("note", {"operation_id": operation_id, "kind": "spec", "text": "1 vcpu"}),
                (
                    "progress",
                    {"operation_id": operation_id, "stage": "copy", "done": 1, "total": 2},
                ),
                (
                    "progress",
                    {"operation_id": operation_id, "stage": "copy", "done": 2, "total": 2},
                ),
                (
                    "progress",
                    {"operation_id": operation_id, "stage": "boot", "done": None, "total": None},
                ),
            ]
            peer.close()

    run(test)


def test_a_client_that_does_not_read_progress_costs_nothing(short_dir: Path) -> None:
    """C5, E2: the operation neither waits nor collects unsent lines without bound."""

    async def create(call: Call, _: VmCreate) -> object:
        for number in range(100_000):
            call.operation.progress(f"stage {number}")
        return {}

    async def test() -> None:
        async with running(short_dir, {"vm.create": create}) as server:
            peer = await server.connect()
            await peer.send("vm.create")
            count = 0
            while "result" not in await peer.receive():
                count += 1
            assert 0 < count < 100_000
            peer.close()

    run(test)


def test_stdin_beyond_the_window_ends_the_stream(short_dir: Path) -> None:
    """E2 for the socket: a client that ignores flow control cannot fill the daemon."""

    async def execute(call: Call, _: VmExec) -> object:
        stream = await call.start_stream(StartedStream())
        async for _frame in stream.frames():
            pass
        return {"status": 0}

    async def test() -> None:
        async with running(short_dir, {"vm.exec": execute}) as server:
            params: dict[str, object] = {"ref": "a", "argv": ["cat"]}
            line = wire.format_request(1, "vm.exec", params=params, version=VERSION)
            frames = format_frame(0, b"x" * 200_000) * 3
            assert b"does not allow" in await send_and_read_rest(server.path, line, frames)

    run(test)


@pytest.mark.parametrize(
    "frame",
    [
        format_frame(1, b"x"),
        b"\x04\x00\x00\x00\x01x",
        b"\x00\xff\xff\xff\xff",
    ],
)
def test_broken_frames_end_their_stream_only(short_dir: Path, frame: bytes) -> None:
    """E2 for the socket."""

    async def execute(call: Call, _: VmExec) -> object:
        stream = await call.start_stream(StartedStream())
        async for _frame in stream.frames():
            pass
        return {"status": 0}

    async def test() -> None:
        async with running(short_dir, {"vm.exec": execute, "vm.show": echo}) as server:
            peer = await server.connect()
            await peer.call("vm.exec", {"ref": "a", "argv": ["cat"]})
            await peer.send_bytes(frame)
            assert b'"error"' in await peer.reader.read()
            peer.close()
            other = await server.connect()
            assert "result" in await other.call("vm.show", {"ref": "a"})
            other.close()
            assert not server.reports.exists()

    run(test)


def test_a_client_that_leaves_a_full_stream_is_noticed(short_dir: Path) -> None:
    """H2, C5: the daemon neither reads nor can write, and still the work is cancelled."""
    cancelled = asyncio.Event()

    async def execute(call: Call, _: VmExec) -> object:
        stream = await call.start_stream(StartedStream())
        try:
            while True:
                await stream.write(1, b"x" * 100_000)
        finally:
            cancelled.set()

    async def test() -> None:
        async with running(short_dir, {"vm.exec": execute}) as server:
            peer = await server.connect()
            await peer.call("vm.exec", {"ref": "a", "argv": ["yes"]})
            await peer.send_bytes(format_control({"signal": 2}))
            peer.close()
            await cancelled.wait()

    run(test)
