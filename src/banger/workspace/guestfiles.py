"""The interface to a guest: run a program, unpack a tar, list and read files, stream output.

The real implementation uses the agent (`banger.guest`); the tests' implementation
works in a directory of the host. Every method raises GuestGone when the guest is gone,
and DeadlineExceeded after `deadline_s`.
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
    """The result of a program in the guest. `status` is its exit status, 128+N for signal N."""

    status: int
    untrusted_stdout: bytes
    untrusted_stderr: bytes


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


async def read_asked(
    guest: GuestFiles, path: str, names: Sequence[bytes], *, deadline_s: float
) -> AsyncGenerator[GuestEntry | bytes, None]:
    """Yield from `read_files`, and check that the guest sends only requested names (hazard E1).

    Raises:
        GuestProtocolError: the guest sent another name, or a name twice.
    """
    left = iter(names)
    async for item in guest.read_files(path, names, deadline_s=deadline_s):
        # `in` consumes all names of `left` up to the match.
        if isinstance(item, GuestEntry) and item.name not in left:
            raise GuestProtocolError(f"The guest sent a file unasked: {item.name!r:.200}.")
        yield item


async def read_output(
    output: GuestOutput, *, what: str, deadline_s: float
) -> AsyncGenerator[bytes | Completed, None]:
    """Yield a program's output, and finally its result; give up a guest that stalls.

    Raises:
        DeadlineExceeded: the program has not ended after `deadline_s`.
    """
    end = asyncio.get_running_loop().time() + deadline_s
    chunks = aiter(output)
    try:
        while True:
            # Around each wait, not around the yield: the consumer's time does not count.
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
