"""Run programs in the guest: a live process, or `run` for banger's own small commands.

Owns the stream of each process. The program has a process group and a control group of its own
in the guest; giving the stream up kills every process in either. So a deadline, a cancellation or
the end of this daemon leaves no command running without a client (hazard H3), unless the command
was detached.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace

from banger.errors import (
    BangerError,
    DeadlineExceeded,
    ExecBadDirectory,
    ExecNoSuchUser,
    ExecNotExecutable,
    ExecNotFound,
    GuestOutputTooBig,
    GuestProtocolError,
    GuestRefused,
)
from banger.guest.admission import Lane
from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection, OnWait
from banger.guest.deadlines import deadline
from banger.guest.fields import Fields, Tag, encode_fields, name, text, u64
from banger.guest.stream import Request, Stream

STDOUT = 1
STDERR = 2
TTY_FLAG, STDIN_FLAG, DETACH_FLAG, SUPERVISE_FLAG = 1, 2, 4, 8

START_EACH_S = 0.5
"""Added to the deadline of a start for each other that is under way: the agent makes one at a time,
and a hundred at once take an emulated guest on a busy host half a minute."""

KILL_GRACE_S = 5.0
"""Seconds for the agent to confirm that a process group was killed."""

OUTPUT_LIMIT = 16 * 1024 * 1024

MODE_NUMBERS = range(1, 160)
"""Of terminals' modes that have one value each (RFC 4254, section 8)."""
_MODE = struct.Struct("<BI")

EXEC_REFUSALS = {
    "not-found": ExecNotFound,
    "not-executable": ExecNotExecutable,
    "bad-directory": ExecBadDirectory,
    "no-such-user": ExecNoSuchUser,
}


@dataclass(frozen=True)
class ExecSpec:
    """A program to run. `user`: `user`, `uid`, `user:group` or `uid:gid`.

    `terminal`: (rows, columns) of a TTY; both outputs then arrive on channel 1. `modes`: of that
    TTY, by their `MODE_NUMBERS`; those not named are as in a new terminal. Without `stdin` the
    program reads /dev/null. `detach`: the program outlives the stream and writes to /dev/null; not
    with `terminal` or `stdin`. `supervise`, with `detach`: the program writes to the console and is
    restarted when it fails. `cwd` is absolute.
    """

    argv: tuple[bytes, ...]
    env: tuple[tuple[bytes, bytes], ...] = ()
    cwd: bytes | None = None
    user: str | None = None
    terminal: tuple[int, int] | None = None
    modes: tuple[tuple[int, int], ...] = ()
    stdin: bool = False
    detach: bool = False
    supervise: bool = False


@dataclass(frozen=True)
class ExitStatus:
    """The end of a program: a status, or a signal (then `status` is 0)."""

    status: int
    signal: int | None = None

    @property
    def shell_status(self) -> int:
        """The status as a shell reports it: 128+N for signal N."""
        return self.status if self.signal is None else 128 + self.signal


@dataclass(frozen=True)
class Completed:
    """The result of a program: its exit status, or 128+N for signal N, and its output."""

    status: int
    untrusted_stdout: bytes
    untrusted_stderr: bytes


class GuestProcess:
    """A program in the guest. Use it in an `async with`, or call `close`.

    Cancelling any wait on the program kills its process group.
    """

    def __init__(self, stream: Stream, pid: int) -> None:
        self.pid = pid
        self._stream = stream

    async def __aenter__(self) -> GuestProcess:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def write(self, data: bytes | memoryview) -> bool:
        """Write to the program's stdin, as fast as it reads; False if it ended too early."""
        return await self._stream.write(data)

    async def write_eof(self) -> None:
        """Close the program's stdin; on a terminal, send the end-of-file character."""
        await self._stream.write_eof()

    async def output(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield (channel, data): 1 stdout or terminal, 2 stderr, in order of arrival.

        Always read the output: the program blocks once the window is full.
        """
        while (taken := await self._stream.read()) is not None:
            yield taken

    async def wait(self) -> ExitStatus:
        """Wait for the program's end and return its exit status.

        Raises:
            GuestRefused: the process was given up, or the agent lost it.
        """
        return parse_exit_status(await self._stream.result())

    async def resize(self, rows: int, columns: int) -> None:
        """Resize the program's terminal."""
        await self._stream.control((Tag.ROWS, u64(rows)), (Tag.COLUMNS, u64(columns)))

    async def signal(self, number: int) -> None:
        """Send a signal (1..64) to the process group; do nothing if the program has ended."""
        await self._stream.control((Tag.SIGNAL, u64(number)))

    async def close(self) -> bool:
        """Kill the process group unless the program has ended. Idempotent. False: not confirmed."""
        try:
            return await self._stream.finish(grace_s=KILL_GRACE_S)
        except BangerError:
            # The connection broke, so the agent kills its commands.
            return False


async def start_exec(
    connection: GuestConnection,
    spec: ExecSpec,
    *,
    deadline_s: float,
    lane: Lane = Lane.COMMANDS,
    on_wait: OnWait | None = None,
) -> GuestProcess:
    """Start a program; return once it runs.

    `lane`: CONTROL for the host's own programs. The deadline begins when there is room in the
    lane; `on_wait` is called if there is none at once.

    An agent that is too old to know of modes starts the program without them.

    Raises:
        ExecNotFound, ExecNotExecutable, ExecBadDirectory, ExecNoSuchUser: the guest refuses.
    """
    try:
        return await _start(connection, spec, deadline_s=deadline_s, lane=lane, on_wait=on_wait)
    except GuestRefused as error:
        if not spec.modes or error.guest_code != "bad-request":
            raise
        plain = replace(spec, modes=())
        return await _start(connection, plain, deadline_s=deadline_s, lane=lane, on_wait=on_wait)


async def _start(
    connection: GuestConnection,
    spec: ExecSpec,
    *,
    deadline_s: float,
    lane: Lane,
    on_wait: OnWait | None,
) -> GuestProcess:
    what = f"running {_shown(spec.argv)} in the guest"
    fields = encode_fields(exec_fields(spec))
    request = Request(Kind.EXEC, what, fields, EXEC_REFUSALS)
    ticket = await connection.admit(lane, on_wait=on_wait)
    with counted_start(connection) as others:
        patience_s = deadline_s + others * START_EACH_S
        async with deadline(f"starting {_shown(spec.argv)} in the guest", patience_s):
            stream = await connection.open_stream(request, ticket)
            event = await stream.first_event()
    try:
        return GuestProcess(stream, event.u64(Tag.PID, most=2**31 - 1))
    except GuestProtocolError:
        stream.give_up()
        raise


@contextlib.contextmanager
def counted_start(connection: GuestConnection) -> Iterator[int]:
    """Count a start while it is under way; give the number of the others."""
    others = connection.starts_under_way
    connection.starts_under_way += 1
    try:
        yield others
    finally:
        connection.starts_under_way -= 1


async def run(
    connection: GuestConnection,
    argv: Sequence[bytes],
    *,
    deadline_s: float,
    stdin: bytes = b"",
    user: str | None = None,
    cwd: bytes | None = None,
    env: Sequence[tuple[bytes, bytes]] = (),
    output_limit: int = OUTPUT_LIMIT,
) -> Completed:
    """Run a command to its end and return its status and output.

    Raises:
        DeadlineExceeded: the command took longer; its process group was killed.
        GuestOutputTooBig: the command wrote more than `output_limit` bytes and was killed likewise.
        GuestRefused: the command could not be started, as in `start_exec`.
    """
    spec = ExecSpec(tuple(argv), env=tuple(env), cwd=cwd, user=user, stdin=bool(stdin))
    what = f"running {_shown(spec.argv)} in the guest"
    process: GuestProcess | None = None
    try:
        async with deadline(what, deadline_s):
            process = await start_exec(connection, spec, deadline_s=deadline_s, lane=Lane.CONTROL)
            async with _feeding(process, stdin):
                stdout, stderr = await _collect(process, what=what, limit=output_limit)
            status = await process.wait()
    except BaseException as error:
        confirmed = process is None or await process.close()
        if isinstance(error, DeadlineExceeded) and not confirmed:
            error.details = "The guest did not confirm that the command was killed."
        raise
    return Completed(status.shell_status, stdout, stderr)


@contextlib.asynccontextmanager
async def _feeding(process: GuestProcess, stdin: bytes) -> AsyncIterator[None]:
    """Write stdin while the caller reads the output: neither may wait for the other (hazard H7)."""
    if not stdin:
        yield
        return
    feeder = asyncio.create_task(_feed(process, stdin))
    try:
        yield
        # A program may close its outputs and keep reading.
        await feeder
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)


async def _feed(process: GuestProcess, stdin: bytes) -> None:
    if await process.write(stdin):
        await process.write_eof()


async def _collect(process: GuestProcess, *, what: str, limit: int) -> tuple[bytes, bytes]:
    output = {STDOUT: bytearray(), STDERR: bytearray()}
    async for channel, data in process.output():
        output[channel] += data
        if sum(map(len, output.values())) > limit:
            raise GuestOutputTooBig(
                f"{what[:1].upper()}{what[1:]} produced more than {limit} bytes."
            )
    return bytes(output[STDOUT]), bytes(output[STDERR])


def exec_fields(spec: ExecSpec) -> Iterator[tuple[Tag, bytes]]:
    """Yield the fields of a request that starts a program."""
    for argument in spec.argv:
        yield Tag.ARG, name(argument)
    for variable, value in spec.env:
        yield Tag.ENV, name(variable + b"=" + value)
    if spec.cwd is not None:
        yield Tag.CWD, name(spec.cwd)
    if spec.user is not None:
        yield Tag.USER, text(spec.user)
    flags = (
        (TTY_FLAG if spec.terminal else 0)
        | (STDIN_FLAG if spec.stdin else 0)
        | (DETACH_FLAG if spec.detach else 0)
        | (SUPERVISE_FLAG if spec.supervise else 0)
    )
    yield Tag.FLAGS, u64(flags)
    if spec.terminal:
        yield Tag.ROWS, u64(spec.terminal[0])
        yield Tag.COLUMNS, u64(spec.terminal[1])
    if spec.modes:
        yield Tag.MODES, b"".join(_MODE.pack(number, value) for number, value in spec.modes)


def parse_exit_status(fields: Fields) -> ExitStatus:
    """Return the end of a program.

    Raises:
        GuestProtocolError: there is neither a status nor a signal, or one that cannot be.
    """
    number = fields.find_u64(Tag.SIGNAL, most=64)
    if number:
        return ExitStatus(0, number)
    return ExitStatus(fields.u64(Tag.STATUS, most=255))


def _shown(argv: tuple[bytes, ...]) -> str:
    """Return the program's name for messages, without arguments: they may be secret (hazard G6)."""
    return ascii(argv[0].decode("utf-8", "replace"))[1:-1][:80] if argv else "nothing"
