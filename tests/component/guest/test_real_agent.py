"""The host side and the real agent, over a socket pair: both were written from the same page."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import socket
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from banger.errors import (
    DeadlineExceeded,
    ExecBadDirectory,
    ExecNoSuchUser,
    ExecNotExecutable,
    ExecNotFound,
    GuestGone,
    GuestOutputTooBig,
    GuestPathNotFound,
    GuestRefused,
    InvalidRequest,
    VmmFailed,
)
from banger.guest import (
    STDERR,
    STDOUT,
    AgentState,
    ExecSpec,
    GuestConnection,
    connect,
    connect_tcp,
    ping,
    run,
    start_exec,
    stat,
    sync,
    tar_in,
    tar_out,
    watch_listeners,
)
from banger.guest.exec import ExitStatus
from banger.host import programs
from tests.support.agent import agent_connection, running_agent

D = 20.0
"""Seconds that nothing here comes near to."""

Body = Callable[[GuestConnection], Awaitable[None]]
Play = Callable[[Body], None]


@pytest.fixture
def with_agent(agent_binary: Path) -> Play:
    """Run a test's body on a connection to an agent of its own."""

    async def play(body: Body) -> None:
        async with asyncio.timeout(60), agent_connection(agent_binary) as connection:
            await body(connection)

    return lambda body: asyncio.run(play(body))


def is_running(pid: int) -> bool:
    """A process that has not ended; a zombie has."""
    try:
        return b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def wait_ended(pid: int) -> None:
    async with asyncio.timeout(D):
        while is_running(pid):  # noqa: ASYNC110 - a grandchild has no waitable end
            await asyncio.sleep(0.005)


def test_the_hello(with_agent: Play) -> None:
    async def body(connection: GuestConnection) -> None:
        hello = connection.hello
        assert hello.state is AgentState.BOOTED
        assert hello.arch == os.uname().machine
        assert hello.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        await ping(connection, deadline_s=D)
        await sync(connection, deadline_s=D)

    with_agent(body)


def test_exit_statuses_pass_verbatim(with_agent: Play) -> None:
    """H1: 0, 42, 255, a signal, and our own failures, which look like none of them."""

    async def body(connection: GuestConnection) -> None:
        for status in (0, 42, 255):
            done = await run(connection, [b"sh", b"-c", b"exit %d" % status], deadline_s=D)
            assert done.status == status
        killed = await run(connection, [b"sh", b"-c", b"kill -TERM $$"], deadline_s=D)
        assert killed.status == 128 + signal.SIGTERM
        for argv, error in (([b"no-such-program"], ExecNotFound), ([b"/etc"], ExecNotExecutable)):
            with pytest.raises(error):
                await run(connection, argv, deadline_s=D)
        with pytest.raises(ExecBadDirectory):
            await run(connection, [b"true"], cwd=b"/no/such/directory", deadline_s=D)
        with pytest.raises(ExecNoSuchUser):
            await run(connection, [b"true"], user="no-such-user", deadline_s=D)

    with_agent(body)


def test_arguments_and_environment_are_bytes(with_agent: Play) -> None:
    """G2, H7: no shell in between, nothing re-split, no encoding."""

    async def body(connection: GuestConnection) -> None:
        odd = [b"a b", b"$(x)", b"", b"\xff\n", b"'"]
        done = await run(connection, [b"printf", b"%s|", *odd], deadline_s=D)
        assert done.untrusted_stdout == b"a b|$(x)||\xff\n|'|"
        env = [(b"A", b"b=c \xfe")]
        done = await run(connection, [b"sh", b"-c", b'printf %s "$A"'], env=env, deadline_s=D)
        assert done.untrusted_stdout == b"b=c \xfe"
        done = await run(connection, [b"pwd"], cwd=b"/usr", deadline_s=D)
        assert done.untrusted_stdout == b"/usr\n"
        # A request of many frames.
        many = [b"x" * 1000] * 120
        done = await run(connection, [b"printf", b"%s", *many], deadline_s=D)
        assert done.untrusted_stdout == b"x" * 120_000
        with pytest.raises(InvalidRequest):
            await run(connection, [b"nul\0"], deadline_s=D)
        with pytest.raises(InvalidRequest):
            await run(connection, [b"x" * (1 << 20)], deadline_s=D)
        await ping(connection, deadline_s=D)

    with_agent(body)


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 5_000_000])
def test_data_of_any_size_goes_through_byte_exact(with_agent: Play, size: int) -> None:
    """H7: stdin, stdout and stderr, larger than every window, at the same time."""
    content = os.urandom(size)

    async def body(connection: GuestConnection) -> None:
        done = await run(
            connection, [b"sh", b"-c", b"tee /dev/stderr"], stdin=content, deadline_s=D
        )
        assert done.status == 0
        assert done.untrusted_stdout == content
        assert done.untrusted_stderr == content

    with_agent(body)


def test_a_command_that_does_not_read_its_input(with_agent: Play) -> None:
    """H7: closed stdin in the guest is no error of ours."""

    async def body(connection: GuestConnection) -> None:
        content = bytes(3_000_000)
        done = await run(connection, [b"sh", b"-c", b"echo done"], stdin=content, deadline_s=D)
        assert (done.status, done.untrusted_stdout) == (0, b"done\n")
        closing = [b"sh", b"-c", b"exec <&-; sleep 0.05; exit 5"]
        assert (await run(connection, closing, stdin=content, deadline_s=D)).status == 5

    with_agent(body)


def test_an_interactive_terminal(with_agent: Play) -> None:
    """H7: window size, resize, ctrl-C through the terminal, end of file."""

    async def body(connection: GuestConnection) -> None:
        spec = ExecSpec((b"sh",), terminal=(24, 80), stdin=True, env=((b"PS1", b""),))
        async with await start_exec(connection, spec, deadline_s=D) as process:
            output = process.output()

            async def expect(text: bytes) -> None:
                got = b""
                while text not in got:
                    channel, data = await anext(output)
                    assert channel == STDOUT
                    got += data

            await process.write(b"stty -echo; echo =; stty size\n")
            await expect(b"24 80")
            await process.resize(50, 132)
            await process.write(b"stty size\n")
            await expect(b"50 132")
            # Short sleeps: a shell runs its trap only when what it waits for has ended.
            loop = b"echo re''ady; while :; do sleep 0.01; done"
            await process.write(b"sh -c \"trap 'echo in''terrupted; exit 0' INT; " + loop + b'"\n')
            await expect(b"ready")
            await process.write(b"\x03")
            await expect(b"interrupted")
            await process.write(b"exit 7\n")
            assert await process.wait() == ExitStatus(7)

    with_agent(body)


def test_signals_go_to_the_process_group(with_agent: Play) -> None:
    async def body(connection: GuestConnection) -> None:
        spec = ExecSpec((b"sh", b"-c", b"sleep 60 & echo $!; wait"))
        async with await start_exec(connection, spec, deadline_s=D) as process:
            _, line = await anext(process.output())
            assert is_running(int(line))
            await process.signal(signal.SIGTERM)
            assert (await process.wait()).shell_status == 128 + signal.SIGTERM
            await wait_ended(int(line))

    with_agent(body)


@pytest.mark.parametrize("way", ["deadline", "limit", "cancel", "close"])
def test_giving_up_kills_the_whole_group(with_agent: Play, tmp_path: Path, way: str) -> None:
    """H3: a deadline, a limit, a cancellation and a close leave nothing running."""
    pids = tmp_path / "pids"
    script = b"sleep 60 & echo $$ $! >%s.new; mv %s.new %s; " % ((os.fsencode(pids),) * 3)
    script += b"exec yes" if way == "limit" else b"wait"
    argv = (b"sh", b"-c", script)

    async def body(connection: GuestConnection) -> None:
        if way == "deadline":
            with pytest.raises(DeadlineExceeded) as caught:
                await run(connection, argv, deadline_s=2)
            assert caught.value.details is None
        elif way == "limit":
            with pytest.raises(GuestOutputTooBig):
                await run(connection, argv, output_limit=100_000, deadline_s=D)
        elif way == "cancel":
            task = asyncio.create_task(run(connection, argv, deadline_s=D))
            await pids_written()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        else:
            process = await start_exec(connection, ExecSpec(argv), deadline_s=D)
            await pids_written()
            assert await process.close()
        for pid in pids.read_text().split():
            await wait_ended(int(pid))
        await ping(connection, deadline_s=D)

    async def pids_written() -> None:
        async with asyncio.timeout(D):
            while not pids.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.005)

    with_agent(body)


def test_a_detached_program_goes_on(with_agent: Play, tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    async def body(connection: GuestConnection) -> None:
        argv = (b"sh", b"-c", b"while ! test -e %s; do sleep 0.01; done" % os.fsencode(flag))
        process = await start_exec(connection, ExecSpec(argv, detach=True), deadline_s=D)
        assert await process.wait() == ExitStatus(0)
        assert await process.close()
        await ping(connection, deadline_s=D)
        assert is_running(process.pid)
        flag.touch()
        await wait_ended(process.pid)

    with_agent(body)


def test_a_slow_reader_stops_only_itself(with_agent: Play) -> None:
    """E2: a command whose output nobody reads; twenty others come and go meanwhile."""

    async def body(connection: GuestConnection) -> None:
        spec = ExecSpec((b"sh", b"-c", b"head -c 2000000 /dev/zero; echo x >&2"))
        async with await start_exec(connection, spec, deadline_s=D) as slow:
            runs = (run(connection, [b"echo", b"%d" % n], deadline_s=D) for n in range(20))
            for number, done in enumerate(await asyncio.gather(*runs)):
                assert done.untrusted_stdout == b"%d\n" % number
            got = {STDOUT: 0, STDERR: 0}
            async for channel, data in slow.output():
                got[channel] += len(data)
            assert got == {STDOUT: 2_000_000, STDERR: 2}
            assert await slow.wait() == ExitStatus(0)

    with_agent(body)


def test_a_hundred_in_a_row(with_agent: Play) -> None:
    async def body(connection: GuestConnection) -> None:
        for number in range(100):
            done = await run(connection, [b"echo", b"%d" % number], deadline_s=D)
            assert done.untrusted_stdout == b"%d\n" % number

    with_agent(body)


def test_a_killed_agent_wakes_everyone(agent_binary: Path) -> None:
    """H2: as when QEMU dies: the socket closes."""

    async def body() -> None:
        with running_agent(agent_binary, status=-signal.SIGKILL) as agent:
            connection = await connect(agent.socket.dup(), deadline_s=D)
            waits = [
                asyncio.create_task(run(connection, [b"sleep", b"60"], deadline_s=D))
                for _ in range(5)
            ]
            process = await start_exec(connection, ExecSpec((b"sleep", b"60")), deadline_s=D)
            waits.append(asyncio.create_task(process.wait()))  # type: ignore[arg-type]
            agent.process.kill()
            agent.socket.close()
            done, _ = await asyncio.wait(waits, timeout=D)
            assert {type(task.exception()) for task in done} == {GuestGone}
            assert len(done) == 6
            await connection.close()
            os.killpg(process.pid, signal.SIGKILL)

    asyncio.run(body())


def test_the_owner_can_say_that_the_vmm_died(with_agent: Play) -> None:
    """H2."""

    async def body(connection: GuestConnection) -> None:
        process = await start_exec(connection, ExecSpec((b"sleep", b"60")), deadline_s=D)
        waiter = asyncio.create_task(process.wait())
        await asyncio.sleep(0)
        connection.fail(VmmFailed("QEMU died."))
        with pytest.raises(VmmFailed, match="QEMU died"):
            await waiter
        # The agent saw the host go and killed what was on the connection.
        await wait_ended(process.pid)

    with_agent(body)


def test_a_new_host_takes_over_in_the_middle_of_a_frame(agent_binary: Path) -> None:
    """B11, D3: a host that dies between two bytes leaves an agent that the next one can use."""

    async def body() -> None:
        with running_agent(agent_binary) as agent:
            first = await connect(agent.socket.dup(), deadline_s=D)
            await start_exec(first, ExecSpec((b"yes",)), deadline_s=D)
            first._link.send(b"\x03\0\0\0\x01\0\0\0\x00\x80\0\0half a frame")
            # The carrier stays, as a virtio-serial port does; its next host reads on.
            transport = first._link._transport
            assert transport is not None
            transport.pause_reading()
            second = await connect(agent.socket.dup(), deadline_s=D)
            assert (await run(second, [b"echo", b"hi"], deadline_s=D)).untrusted_stdout == b"hi\n"
            transport.abort()
            await first.wait_closed()
            agent.socket.close()
            await second.close()

    asyncio.run(body())


HALF_PAST_NS = 1_500_000_000_500_000_000


def make_tree(root: Path) -> None:
    (root / "deep" / "er").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "deep" / "er" / ("long name " * 15)).write_bytes(os.urandom(700_000))
    (root / "run").write_bytes(b"#!/bin/sh\n")
    (root / "run").chmod(0o751)
    (root / "link").symlink_to("deep/er")
    # Half a second: tarfile keeps times as floats, and this one is exact.
    for path in (root, *root.rglob("*")):
        os.utime(path, ns=(HALF_PAST_NS, HALF_PAST_NS), follow_symlinks=False)


def describe(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and content of everything below `root`."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            content = os.fsencode(os.readlink(path))
        else:
            content = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root))] = (status.st_mode, status.st_mtime_ns, content)
    return found


async def pieces(data: bytes, size: int = 10_240) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def test_a_tree_goes_in_and_comes_out_the_same(with_agent: Play, tmp_path: Path) -> None:
    source, target, back = (tmp_path / name for name in ("source", "target", "back"))
    make_tree(source)
    me = (os.getuid(), os.getgid())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(source, ".")

    async def body(connection: GuestConnection) -> None:
        target.mkdir()
        (target / "stale").write_bytes(b"x")
        done = await tar_in(
            connection,
            os.fsencode(target),
            pieces(packed.getvalue()),
            empty_first=True,
            owner=me,
            deadline_s=D,
        )
        assert done.bytes == 700_010
        assert describe(target) == describe(source)
        async with tar_out(connection, os.fsencode(target), deadline_s=D) as chunks:
            whole = b"".join([chunk async for chunk in chunks])
        back.mkdir()
        await programs.run(["tar", "-xp", "-C", str(back)], stdin=whole, deadline_s=D)
        assert describe(back) == describe(source)
        async with tar_out(connection, os.fsencode(target), [b"run"], deadline_s=D) as chunks:
            only = b"".join([chunk async for chunk in chunks])
        with tarfile.open(fileobj=io.BytesIO(only)) as archive:
            assert archive.getnames() == ["run"]

    with_agent(body)


def test_transfers_that_cannot_be(with_agent: Play, tmp_path: Path) -> None:
    async def body(connection: GuestConnection) -> None:
        target = os.fsencode(tmp_path / "t")
        with pytest.raises(GuestRefused) as caught:
            await tar_in(connection, target, pieces(os.urandom(2_000_000)), deadline_s=D)
        assert caught.value.guest_code == "bad-archive"
        with pytest.raises(GuestPathNotFound):
            await read_all(connection, b"/no/such/tree")
        with pytest.raises(GuestPathNotFound):
            await stat(connection, b"/no/such/file", deadline_s=D)
        await ping(connection, deadline_s=D)

    async def read_all(connection: GuestConnection, path: bytes) -> None:
        async with tar_out(connection, path, deadline_s=D) as chunks:
            async for _ in chunks:
                pass

    with_agent(body)


def test_leaving_a_transfer_early(with_agent: Play, tmp_path: Path) -> None:
    """C5: the connection is as good as new, both ways."""

    class SourceFailed(Exception):
        pass

    async def failing() -> AsyncIterator[bytes]:
        yield bytes(512)
        raise SourceFailed

    async def body(connection: GuestConnection) -> None:
        (tmp_path / "big").write_bytes(bytes(3_000_000))
        async with tar_out(connection, os.fsencode(tmp_path), deadline_s=D) as chunks:
            await anext(chunks)
        with pytest.raises(SourceFailed):
            await tar_in(connection, os.fsencode(tmp_path / "x"), failing(), deadline_s=D)
        assert (await run(connection, [b"true"], deadline_s=D)).status == 0
        # The agent answers for a stream that was given up when its worker has ended.
        async with asyncio.timeout(D):
            while connection._streams:  # noqa: ASYNC110 - nobody else waits for that
                await asyncio.sleep(0.01)

    with_agent(body)


def test_stat_says_what_lstat_says(with_agent: Play, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("a/b\udcff")

    async def body(connection: GuestConnection) -> None:
        for path in (tmp_path, link, Path("/etc/passwd")):
            real = path.lstat()
            found = await stat(connection, os.fsencode(path), deadline_s=D)
            assert (found.mode, found.size, found.mtime_ns, found.uid, found.gid) == (
                real.st_mode,
                real.st_size,
                real.st_mtime_ns,
                real.st_uid,
                real.st_gid,
            )
            assert found.untrusted_target == (b"a/b\xff" if path == link else None)

    with_agent(body)


def test_tcp_and_listeners(with_agent: Play) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def body(connection: GuestConnection) -> None:
        async with contextlib.aclosing(watch_listeners(connection)) as sets:
            before = await anext(sets)
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            host, port = server.sockets[0].getsockname()
            assert (host, port) not in before
            async with asyncio.timeout(D):
                while (host, port) not in await anext(sets):
                    pass
            await talk(connection, port)
            server.close()
            await server.wait_closed()
            async with asyncio.timeout(D):
                while (host, port) in await anext(sets):
                    pass
        with pytest.raises(GuestRefused) as caught:
            await connect_tcp(connection, "127.0.0.1", port, deadline_s=D)
        assert caught.value.guest_code == "refused"

    async def talk(connection: GuestConnection, port: int) -> None:
        content = os.urandom(1_000_000)
        got = b""
        async with await connect_tcp(connection, "127.0.0.1", port, deadline_s=D) as tcp:

            async def send() -> None:
                await tcp.write(content)
                await tcp.write_eof()

            sender = asyncio.create_task(send())
            while data := await tcp.read():
                got += data
            await sender
        assert got == content

    with_agent(body)


def test_the_socket_is_ours_after_connecting(agent_binary: Path) -> None:
    """A connection that could not be made leaves no descriptor behind."""

    async def body() -> None:
        ours, theirs = socket.socketpair()
        theirs.close()
        with pytest.raises(GuestGone):
            await connect(ours, deadline_s=D)
        assert ours.fileno() == -1

    asyncio.run(body())
