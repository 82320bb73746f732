"""What this room needs of a guest: run a program, unpack a tar, read a long output.

The real one speaks to the agent (`banger.guest`); the tests have one that works in
a directory of the host. Every method raises GuestGone when the guest is gone, and
DeadlineExceeded after `deadline_s`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from banger.errors import DeadlineExceeded, GuestProtocolError
from banger.model.entries import GuestEntry


@dataclass(frozen=True)
class Completed:
    """A program of the guest that ended. `status` is its exit status, 128+N for signal N."""

    status: int
    untrusted_stdout: bytes
    untrusted_stderr: bytes


class GuestOutput(Protocol):
    """A running program whose stdout is read as it comes."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield stdout in chunks until its end."""

    async def completed(self) -> Completed:
        """Wait for the end; stdout in the result is empty (it went through the iterator)."""


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
        """Run a program as root to its end; what it wrote is bounded by the implementation."""

    async def tar_in(
        self, path: str, chunks: AsyncIterable[bytes], *, empty_first: bool, deadline_s: float
    ) -> None:
        """Unpack a tar stream below `path`, which is made if missing, and emptied if asked for."""

    async def list_directories(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> list[GuestEntry]:
        """Return what is in directories below `path`; an empty name is `path` itself.

        A name that is gone, no directory, or behind a link has no entries.
        Raises GuestPathNotFound if `path` is no directory.
        """

    def read_files(
        self, path: str, names: Sequence[bytes], *, deadline_s: float
    ) -> AsyncIterator[GuestEntry | bytes]:
        """Yield each file or symbolic link below `path`: its entry, then its bytes in chunks.

        The chunks of an entry are exactly `size` bytes. A name that is gone is left out; the
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
        """Run a program for the length of a `with` block; leaving it early kills the program.

        The deadline is for its start; `read_output` holds one for the rest.
        """


async def read_asked(
    guest: GuestFiles, path: str, names: Sequence[bytes], *, deadline_s: float
) -> AsyncGenerator[GuestEntry | bytes, None]:
    """Yield what `read_files` does, and nothing that was not asked for (hazard E1).

    Raises:
        GuestProtocolError: the guest sent another name, or one name twice.
    """
    left = iter(names)
    async for item in guest.read_files(path, names, deadline_s=deadline_s):
        # Looking for a name takes all names up to it from `left`.
        if isinstance(item, GuestEntry) and item.name not in left:
            raise GuestProtocolError(f"The guest sent a file unasked: {item.name!r:.200}.")
        yield item


async def read_output(
    output: GuestOutput, *, what: str, deadline_s: float
) -> AsyncGenerator[bytes | Completed, None]:
    """Yield what a program writes, and last how it ended; a guest that stalls is given up.

    Raises:
        DeadlineExceeded: it has not ended after `deadline_s`.
    """
    end = asyncio.get_running_loop().time() + deadline_s
    chunks = aiter(output)
    try:
        while True:
            # Around each wait, not around the yield: the consumer's time is its own.
            async with asyncio.timeout_at(end):
                untrusted_chunk = await anext(chunks, None)
            if untrusted_chunk is None:
                break
            yield untrusted_chunk
        async with asyncio.timeout_at(end):
            completed = await output.completed()
    except TimeoutError as error:
        raise DeadlineExceeded(f"{what} did not finish within {deadline_s:g} s.") from error
    yield completed
