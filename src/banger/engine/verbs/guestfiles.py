"""A guest as the workspace room wants to see it: `workspace.GuestFiles` over a connection."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence

from banger import guest
from banger.model.entries import GuestEntry
from banger.workspace import Completed

STDERR_LIMIT = 64 * 1024
"""How much of a long-running program's stderr is kept: its beginning says what failed."""


class ConnectedGuest:
    """Files and programs of a guest whose connection is given; owns nothing."""

    def __init__(self, connection: guest.GuestConnection) -> None:
        self._connection = connection

    async def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        stdin: bytes = b"",
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a program as root to its end."""
        done = await guest.run(
            self._connection,
            [os.fsencode(word) for word in argv],
            deadline_s=deadline_s,
            stdin=stdin,
            cwd=None if cwd is None else os.fsencode(cwd),
            env=_environment(env),
        )
        return Completed(done.status, done.stdout, done.stderr)

    async def tar_in(
        self, path: str, chunks: AsyncIterable[bytes], *, empty_first: bool, deadline_s: float
    ) -> None:
        """Unpack a tar stream below `path`."""
        await guest.tar_in(
            self._connection,
            os.fsencode(path),
            aiter(chunks),
            empty_first=empty_first,
            deadline_s=deadline_s,
        )

    async def list_directories(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> list[GuestEntry]:
        """Return what is in directories below `path`."""
        return await guest.list_directories(
            self._connection, os.fsencode(path), names, deadline_s=deadline_s
        )

    def read_files(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> AsyncIterator[GuestEntry | bytes]:
        """Yield the entries and bytes of files below `path`."""
        return guest.read_files(self._connection, os.fsencode(path), names, deadline_s=deadline_s)

    @contextlib.asynccontextmanager
    async def open_output(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> AsyncIterator[RunningOutput]:
        """Run a program for a block; leaving it early kills the program."""
        spec = guest.ExecSpec(
            argv=tuple(os.fsencode(word) for word in argv),
            env=tuple(_environment(env)),
            cwd=None if cwd is None else os.fsencode(cwd),
        )
        async with await guest.start_exec(self._connection, spec, deadline_s=deadline_s) as process:
            yield RunningOutput(process)


class RunningOutput:
    """A running program whose stdout is read as it comes."""

    def __init__(self, process: guest.GuestProcess) -> None:
        self._process = process
        self._untrusted_stderr = bytearray()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield stdout in chunks until its end; the beginning of stderr is kept."""
        async for channel, data in self._process.output():
            if channel == guest.STDOUT:
                yield data
            else:
                self._untrusted_stderr += data[: STDERR_LIMIT - len(self._untrusted_stderr)]

    async def completed(self) -> Completed:
        """Wait for the end."""
        ended = await self._process.wait()
        return Completed(ended.shell_status, b"", bytes(self._untrusted_stderr))


def _environment(env: Mapping[str, str] | None) -> list[tuple[bytes, bytes]]:
    return [(os.fsencode(name), os.fsencode(value)) for name, value in (env or {}).items()]
