"""A guest that is a directory of this host: the same commands, the real git, the real tar.

Paths are the host's own, so a test gives a guest path below its temporary directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from pathlib import Path

from banger.errors import GuestPathNotFound, GuestRefused
from banger.guest import Completed
from banger.host import programs
from banger.model.entries import GuestEntry
from banger.workspace.names import parents

READ_BYTES = 32768
"""As large as a frame of the agent."""


class LocalGuest:
    """Runs what a guest would run, with a home of its own and no configuration of the host's."""

    def __init__(self, home: Path, *, path: str | None = None) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.commands: list[tuple[str, ...]] = []
        self._path = path

    def environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        own = {"HOME": str(self.home), "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1"}
        if self._path is not None:
            own["PATH"] = self._path
        return own | dict(env or {})

    async def run(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        stdin: bytes = b"",
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        self.commands.append(tuple(argv))
        done = await programs.run(
            argv,
            deadline_s=deadline_s,
            stdin=stdin,
            cwd=Path(cwd or self.home),
            env=self.environment(env),
            ok=range(256),
        )
        return Completed(done.status, done.stdout, done.stderr)

    def run_sync(self, argv: Sequence[str], *, deadline_s: float = 60) -> Completed:
        """As `run`, for tests that are not asynchronous."""
        return asyncio.run(self.run(argv, deadline_s=deadline_s))

    async def tar_in(
        self, path: str, chunks: AsyncIterable[bytes], *, empty_first: bool, deadline_s: float
    ) -> None:
        if empty_first:
            shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path, exist_ok=True)
        async with (
            asyncio.timeout(deadline_s),
            programs.piped(["tar", "-x", "-p", "-f", "-", "-C", path]) as process,
        ):
            assert process.stdin and process.stderr
            async for chunk in chunks:
                process.stdin.write(chunk)
                await process.stdin.drain()
            process.stdin.close()
            said = await process.stderr.read()
            if await process.wait():
                raise GuestRefused("tar failed.", details=said.decode())

    async def list_directories(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> list[GuestEntry]:
        if not os.path.isdir(path):
            raise GuestPathNotFound(f"There is no directory {path}.")
        found: list[GuestEntry] = []
        for name in names:
            directory = os.path.join(os.fsencode(path), name)
            if not _is_behind_a_link(os.fsencode(path), name) and os.path.isdir(directory):
                for base in os.listdir(directory):
                    full = name + b"/" + base if name else base
                    found.append(_entry(os.fsencode(path), full))
        return found

    async def read_files(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> AsyncIterator[GuestEntry | bytes]:
        if not os.path.isdir(path):
            raise GuestPathNotFound(f"There is no directory {path}.")
        for name in names:
            full = os.path.join(os.fsencode(path), name)
            if _is_behind_a_link(os.fsencode(path), os.path.dirname(name)):
                continue
            if os.path.islink(full):
                yield _entry(os.fsencode(path), name)
                yield os.readlink(full)
            elif os.path.isfile(full):
                yield _entry(os.fsencode(path), name)
                with open(full, "rb") as file:  # noqa: ASYNC230 - a test's
                    while chunk := file.read(READ_BYTES):
                        yield chunk

    @contextlib.asynccontextmanager
    async def open_output(
        self,
        argv: Sequence[str],
        *,
        deadline_s: float,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> AsyncIterator[LocalOutput]:
        self.commands.append(tuple(argv))
        async with (
            asyncio.timeout(deadline_s),
            programs.piped(argv, cwd=Path(cwd or self.home), env=self.environment(env)) as process,
        ):
            yield LocalOutput(process)


def _entry(top: bytes, name: bytes) -> GuestEntry:
    seen = os.lstat(os.path.join(top, name))
    return GuestEntry(
        name,
        seen.st_mode,
        seen.st_uid,
        seen.st_gid,
        seen.st_size,
        seen.st_ino,
        seen.st_mtime_ns,
        seen.st_ctime_ns,
    )


def _is_behind_a_link(top: bytes, name: bytes) -> bool:
    return any(os.path.islink(os.path.join(top, each)) for each in (*parents(name), name) if each)


class LocalOutput:
    """A process of this host, read as `GuestOutput`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert self._process.stdout
        while chunk := await self._process.stdout.read(READ_BYTES):
            yield chunk

    async def completed(self) -> Completed:
        assert self._process.stderr
        said = await self._process.stderr.read()
        return Completed(await self._process.wait(), b"", said)
