"""Run mmdebstrap: distribution packages to a tar stream, as an ordinary user.

mmdebstrap runs apt in a user namespace of its own. apt verifies the archive's
signature with the distribution's keyring, and every package against the archive,
so the distribution has signed the whole result. No option here weakens that.

Works in a directory of its own below TMPDIR or /var/tmp (root and apt caches),
since the mapped users must be able to reach it and could not below a private home.
The directory is removed on leaving, also after a failure or a cancellation, by
mmdebstrap's own helper, since its files belong to mapped users. If this process
dies, `gc` removes the leftover `/var/tmp/banger-bootstrap.*`. No locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from banger.errors import DeadlineExceeded, HostNotReady, NoSpace
from banger.host.programs import Finished, check, piped, run
from banger.host.setup import require_programs
from banger.host.subids import find_lacking

DEADLINE_S = 1800.0
"""Long enough for a slow mirror; ends a build whose mirror hangs."""
LAST_WORDS_S = 5.0
SPACE_MESSAGES = (b"No space left on device", b"not enough space", b"enough free space")
WORK_PREFIX = "banger-bootstrap."
KEYRINGS = Path("/usr/share/keyrings")

T = TypeVar("T")


@dataclass(frozen=True)
class Bootstrap:
    """A request to mmdebstrap.

    `epoch` (SOURCE_DATE_EPOCH) is the latest file time in the result, so that the same
    packages always give the same stream.
    """

    suite: str
    variant: str
    packages: tuple[str, ...]
    components: tuple[str, ...] = ("main",)
    options: tuple[str, ...] = ()
    epoch: int = 0
    proxies: Mapping[str, str] = field(default_factory=dict)
    """Environment variables with apt's proxies (`render_proxies`)."""


def plan_argv(request: Bootstrap) -> list[str]:
    """Return mmdebstrap's arguments. Pure."""
    return [
        "mmdebstrap",
        "--mode=unshare",
        "--format=tar",
        f"--variant={request.variant}",
        f"--components={','.join(request.components)}",
        *([f"--include={','.join(request.packages)}"] if request.packages else []),
        *request.options,
        request.suite,
        "-",
    ]


def require_mmdebstrap(*, etc: Path = Path("/etc"), keyrings: Path = KEYRINGS) -> None:
    """Check all requirements of building from packages at once (hazard H8).

    Raises:
        ToolMissing: a program is not installed.
        HostNotReady: the user has no range of subordinate ids, or the archive's keyring is missing.
    """
    require_programs("mmdebstrap", "newuidmap", "newgidmap")
    user = pwd.getpwuid(os.getuid())
    files = (etc / "subuid", etc / "subgid")
    if lacking := find_lacking(user.pw_name, user.pw_uid, files=files):
        names = " and ".join(str(path) for path in lacking)
        raise HostNotReady(
            f"{user.pw_name} has no subordinate ids in {names}, which unpacking packages needs.",
            hint="banger setup",
        )
    if not list(keyrings.glob("debian-archive-*")):
        raise HostNotReady("The Debian archive's keyring is not installed.", hint="banger setup")


async def bootstrap(
    request: Bootstrap, *, consume: Callable[[int], T], on_stage: Callable[[str], None]
) -> T:
    """Run mmdebstrap and return the result of `consume` for its tar stream.

    `consume` gets the descriptor to read from and runs in a thread; it must read to the
    end of the file and need not close it. Its result counts only if mmdebstrap succeeds.
    A failure of either, the deadline or a cancellation ends both.

    Raises:
        ToolMissing, HostNotReady: see `require_mmdebstrap`.
        ToolFailed: mmdebstrap failed; the details hold the end of its stderr.
        DeadlineExceeded: the build took longer than `DEADLINE_S`.
    """
    require_mmdebstrap()
    async with _workdir() as tmp:
        env = {
            **request.proxies,
            "TMPDIR": str(tmp),
            "SOURCE_DATE_EPOCH": str(request.epoch),
        }
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await _stream(plan_argv(request), env, consume, on_stage)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"Unpacking the packages of {request.suite} took longer than {DEADLINE_S:g} s."
            ) from error


async def _stream(
    argv: list[str],
    env: dict[str, str],
    consume: Callable[[int], T],
    on_stage: Callable[[str], None],
) -> T:
    """Run both ends of the pipe; return when both have ended."""
    source, sink = os.pipe2(os.O_CLOEXEC)
    tasks: set[asyncio.Task[bytes] | asyncio.Task[T]] = set()
    try:
        async with piped(argv, stdin=asyncio.subprocess.DEVNULL, stdout=sink, env=env) as process:
            os.close(sink)
            sink = -1
            assert process.stderr
            watcher = asyncio.create_task(watch(process.stderr, on_stage))
            consumer = asyncio.create_task(asyncio.to_thread(consume, source))
            tasks |= {watcher, consumer}
            await asyncio.wait({watcher, consumer}, return_when=asyncio.FIRST_EXCEPTION)
            status = await _last_words(process, failed=_has_failed(consumer))
            if status is not None:
                check_with_space(Finished(tuple(argv), status, b"", await watcher), env["TMPDIR"])
            return await consumer
    finally:
        # The program is dead, so its pipes have reached their end and both tasks finish.
        if tasks:
            await asyncio.wait(tasks)
            [task.exception() for task in tasks if not task.cancelled()]
        for fd in (source, sink):
            if fd >= 0:
                os.close(fd)


def check_with_space(finished: Finished, where: str) -> Finished:
    """Like `host.programs.check`, but raise NoSpace for a program that ran out of disk space (A10).

    `where` names the directory written to. Only a program's messages tell; all run in the C locale.
    """
    if finished.status != 0 and any(text in finished.stderr for text in SPACE_MESSAGES):
        raise NoSpace(
            f"The file system of {where} is full.",
            hint=f"df -h {os.path.dirname(where)}",
            details=finished.stderr[-2000:].decode("utf-8", "replace"),
        )
    return check(finished)


async def _last_words(process: asyncio.subprocess.Process, *, failed: bool) -> int | None:
    """Return the program's status.

    A reader may have failed because the program did (a stream that ends early). So after a failure
    give the program a moment to exit and report the reason; None means that it did not exit.
    """
    if not failed:
        return await process.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS_S):
            return await process.wait()
    return None


def _has_failed(task: asyncio.Task[T]) -> bool:
    return task.done() and task.exception() is not None


async def watch(pipe: asyncio.StreamReader, on_stage: Callable[[str], None]) -> bytes:
    """Read a program's messages to their end; return the last 64 KiB.

    Lines of the form `I: text...` are stages, unless they name a file. The pipe is always
    drained, since a full pipe would block the program.
    """
    tail = b""
    rest = b""
    while chunk := await pipe.read(65536):
        tail = (tail + chunk)[-65536:]
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[-65536:]
        for line in lines:
            if line.startswith(b"I: ") and line.endswith(b"...") and b"/" not in line:
                on_stage(line[3:-3].decode("utf-8", "replace"))
    return tail


@contextlib.asynccontextmanager
async def _workdir() -> AsyncIterator[Path]:
    parent = os.environ.get("TMPDIR") or ("/var/tmp" if os.path.isdir("/var/tmp") else None)  # noqa: S108 - mkdtemp makes it private
    directory = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=parent))
    directory.chmod(0o711)  # the mapped users must be able to traverse it
    try:
        yield directory
    finally:
        await asyncio.shield(_remove_workdir(directory))


async def _remove_workdir(directory: Path) -> None:
    """Remove the work directory, with the mapped users' files that a killed mmdebstrap leaves."""
    if left := [str(path) for path in directory.iterdir()]:
        # Dying processes of the namespace may still write, so rm may need a second round.
        for _ in range(2):
            await run(
                ["mmdebstrap", "--unshare-helper", "rm", "-rf", "--one-file-system", "--", *left],
                deadline_s=120,
                ok=range(256),
            )
    shutil.rmtree(directory, ignore_errors=True)
