"""Running programs in the guest: a live process, and `run` for small commands of ours.

Owns the stream of each process. The program has a process group and a control group of its own
in the guest; giving the stream up kills all that is in either. So a deadline, a cancellation, or
the end of this daemon never leaves a command running that nobody waits for (hazard H3), unless
it was detached.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType

from banger.errors import (
    BangerError,
    DeadlineExceeded,
    ExecBadDirectory,
    ExecNoSuchUser,
    ExecNotExecutable,
    ExecNotFound,
    GuestOutputTooBig,
    GuestProtocolError,
)
from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.deadlines import deadline
from banger.guest.fields import Fields, Tag, encode_fields, name, text, u64
from banger.guest.stream import Request, Stream

STDOUT = 1
STDERR = 2
TTY_FLAG, STDIN_FLAG, DETACH_FLAG, SUPERVISE_FLAG = 1, 2, 4, 8

KILL_GRACE_S = 5.0
"""How long the agent may take to confirm that a process group was killed."""

OUTPUT_LIMIT = 16 * 1024 * 1024

EXEC_REFUSALS = {
    "not-found": ExecNotFound,
    "not-executable": ExecNotExecutable,
    "bad-directory": ExecBadDirectory,
    "no-such-user": ExecNoSuchUser,
}


@dataclass(frozen=True)
class ExecSpec:
    """A program to run. `user`: `user`, `uid`, `user:group` or `uid:gid`.

    `terminal`: (rows, columns) of a TTY; both outputs then come on channel 1. Without
    `stdin` it reads /dev/null. `detach`: output goes to /dev/null and it outlives the stream;
    not with `terminal` or `stdin`. `supervise`, with `detach`: output goes to the console, and
    it is started again when it fails. `cwd` is absolute.
    """

    argv: tuple[bytes, ...]
    env: tuple[tuple[bytes, bytes], ...] = ()
    cwd: bytes | None = None
    user: str | None = None
    terminal: tuple[int, int] | None = None
    stdin: bool = False
    detach: bool = False
    supervise: bool = False


@dataclass(frozen=True)
class ExitStatus:
    """How a program ended: with a status, or by a signal (then `status` is 0)."""

    status: int
    signal: int | None = None

    @property
    def shell_status(self) -> int:
        """As a shell gives it: 128+N for signal N."""
        return self.status if self.signal is None else 128 + self.signal


@dataclass(frozen=True)
class Completed:
    """A command that ended, and what it wrote. `status` is as a shell gives it."""

    status: int
    stdout: bytes
    stderr: bytes


class GuestProcess:
    """A program in the guest. Use it in an `async with`, or call `close`.

    Any wait on it that is cancelled kills its process group.
    """

    def __init__(self, stream: Stream, pid: int) -> None:
        self.pid = pid
        self._stream = stream

    async def __aenter__(self) -> GuestProcess:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def write(self, data: bytes | memoryview) -> bool:
        """Send to its stdin, as fast as it reads; False if it has ended and took no more."""
        return await self._stream.write(data)

    async def write_eof(self) -> None:
        """Close its stdin; on a terminal, send the end-of-file character."""
        await self._stream.write_eof()

    async def output(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield (channel, data): 1 stdout or terminal, 2 stderr, in order of arrival.

        Read it: a program whose output nobody reads stops when the window is full.
        """
        while (taken := await self._stream.read()) is not None:
            yield taken

    async def wait(self) -> ExitStatus:
        """Return how it ended.

        Raises:
            GuestRefused: the process was given up, or the agent lost it.
        """
        return _parse_exit_status(await self._stream.result())

    async def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the new size."""
        await self._stream.control((Tag.ROWS, u64(rows)), (Tag.COLUMNS, u64(columns)))

    async def signal(self, number: int) -> None:
        """Send a signal (1..64) to its process group; nothing if it has ended."""
        await self._stream.control((Tag.SIGNAL, u64(number)))

    async def close(self) -> bool:
        """Kill its process group unless it has ended; again is fine. False: not confirmed."""
        try:
            return await self._stream.finish(grace_s=KILL_GRACE_S)
        except BangerError:
            # The connection broke, and the agent kills what was on it.
            return False


async def start_exec(
    connection: GuestConnection, spec: ExecSpec, *, deadline_s: float
) -> GuestProcess:
    """Start a program; returns when it runs.

    Raises:
        ExecNotFound, ExecNotExecutable, ExecBadDirectory, ExecNoSuchUser: it cannot be run.
    """
    what = f"running {_shown(spec.argv)} in the guest"
    fields = encode_fields(_exec_fields(spec))
    async with deadline(f"starting {_shown(spec.argv)} in the guest", deadline_s):
        stream = await connection.open_stream(Request(Kind.EXEC, what, fields, EXEC_REFUSALS))
        event = await stream.first_event()
    try:
        return GuestProcess(stream, event.u64(Tag.PID, most=2**31 - 1))
    except GuestProtocolError:
        stream.give_up()
        raise


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
    """Run a command to its end and return what it wrote.

    Raises:
        DeadlineExceeded: it took longer; its process group was killed.
        GuestOutputTooBig: it wrote more than `output_limit` bytes; likewise.
        GuestRefused: it could not be run, as `start_exec` says.
    """
    spec = ExecSpec(tuple(argv), env=tuple(env), cwd=cwd, user=user, stdin=bool(stdin))
    what = f"running {_shown(spec.argv)} in the guest"
    process: GuestProcess | None = None
    try:
        async with deadline(what, deadline_s):
            process = await start_exec(connection, spec, deadline_s=deadline_s)
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
    """Write stdin while the output is read: neither may wait for the other (hazard H7)."""
    if not stdin:
        yield
        return
    feeder = asyncio.create_task(_feed(process, stdin))
    try:
        yield
        # A program may close its outputs and go on reading.
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
            raise GuestOutputTooBig(f"{what[:1].upper()}{what[1:]} gave more than {limit} bytes.")
    return bytes(output[STDOUT]), bytes(output[STDERR])


def _exec_fields(spec: ExecSpec) -> Iterator[tuple[Tag, bytes]]:
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


def _parse_exit_status(fields: Fields) -> ExitStatus:
    number = fields.find_u64(Tag.SIGNAL, most=64)
    if number:
        return ExitStatus(0, number)
    return ExitStatus(fields.u64(Tag.STATUS, most=255))


def _shown(argv: tuple[bytes, ...]) -> str:
    """The program's name for messages; arguments may hold secrets (hazard G6)."""
    return ascii(argv[0].decode("utf-8", "replace"))[1:-1][:80] if argv else "nothing"
