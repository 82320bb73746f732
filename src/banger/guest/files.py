"""A guest for those who use it: run programs, unpack a tar, list and read files.

`ConnectedGuest` does that over a connection; the tests' `GuestFiles` works in a directory of the
host. Every method raises GuestGone when the guest is gone, and DeadlineExceeded after
`deadline_s`. Owns nothing: closing the connection is the caller's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from banger.guest.admission import Lane
from banger.guest.connection import GuestConnection
from banger.guest.exec import STDOUT, Completed, ExecSpec, GuestProcess, run, start_exec
from banger.guest.listing import list_directories, read_files
from banger.guest.transfer import tar_in
from banger.model.entries import GuestEntry

STDERR_LIMIT = 64 * 1024
"""How much of a long-running program's stderr is kept: its beginning says what failed."""


class GuestOutput(Protocol):
    """A running program whose stdout is streamed."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield stdout in chunks until its end."""

    async def completed(self) -> Completed:
        """Wait for the end; stdout in the result is empty, since the iterator yielded it."""


class GuestFiles(Protocol):
    """A running guest."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        stdin: bytes = b"",
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a program as root to its end; the implementation bounds the output."""

    async def tar_in(
        self, path: str, chunks: AsyncIterable[bytes], *, empty_first: bool, deadline_s: float
    ) -> None:
        """Unpack a tar stream below `path`; create it if missing, empty it if `empty_first`."""

    async def list_directories(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> list[GuestEntry]:
        """Return the entries of directories below `path`; an empty name means `path` itself.

        A name that is gone, is no directory, or lies behind a link has no entries.
        Raises GuestPathNotFound if `path` is no directory.
        """

    def read_files(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> AsyncIterator[GuestEntry | bytes]:
        """Yield each file or symbolic link below `path`: its entry, then its bytes in chunks.

        An entry's chunks add up to exactly `size` bytes. A name that is gone is left out; the
        others come in the order of `names`.
        """

    def open_output(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[GuestOutput]:
        """Run a program during a `with` block; leaving the block early kills the program.

        The deadline covers only the start; `read_output` has a deadline for the rest.
        """


class ConnectedGuest:
    """Files and programs of a guest whose connection is given; owns nothing."""

    def __init__(self, connection: GuestConnection) -> None:
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
        return await run(
            self._connection,
            [os.fsencode(word) for word in argv],
            deadline_s=deadline_s,
            stdin=stdin,
            cwd=None if cwd is None else os.fsencode(cwd),
            env=_environment(env),
        )

    async def tar_in(
        self, path: str, chunks: AsyncIterable[bytes], *, empty_first: bool, deadline_s: float
    ) -> None:
        """Unpack a tar stream below `path`."""
        await tar_in(
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
        return await list_directories(
            self._connection, os.fsencode(path), names, deadline_s=deadline_s
        )

    def read_files(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> AsyncIterator[GuestEntry | bytes]:
        """Yield the entries and bytes of files below `path`."""
        return read_files(self._connection, os.fsencode(path), names, deadline_s=deadline_s)

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
        spec = ExecSpec(
            argv=tuple(os.fsencode(word) for word in argv),
            env=tuple(_environment(env)),
            cwd=None if cwd is None else os.fsencode(cwd),
        )
        async with await start_exec(
            self._connection, spec, deadline_s=deadline_s, lane=Lane.CONTROL
        ) as process:
            yield RunningOutput(process)


class RunningOutput:
    """A running program whose stdout is read as it comes."""

    def __init__(self, process: GuestProcess) -> None:
        self._process = process
        self._untrusted_stderr = bytearray()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield stdout in chunks until its end; the beginning of stderr is kept."""
        async for channel, data in self._process.output():
            if channel == STDOUT:
                yield data
            else:
                self._untrusted_stderr += data[: STDERR_LIMIT - len(self._untrusted_stderr)]

    async def completed(self) -> Completed:
        """Wait for the end."""
        ended = await self._process.wait()
        return Completed(ended.shell_status, b"", bytes(self._untrusted_stderr))


def _environment(env: Mapping[str, str] | None) -> list[tuple[bytes, bytes]]:
    return [(os.fsencode(name), os.fsencode(value)) for name, value in (env or {}).items()]
