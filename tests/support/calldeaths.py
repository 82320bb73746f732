"""A daemon's sudden death while a workspace goes into a guest or comes back.

What those do has no journal: each git on the host, each request to the guest and each chunk of a
stream between them is a point, named like `git rev-parse`, `guest run sh`, `guest tar chunk`. It is
"before" when a git has been started, which then runs on alone, or before a request is sent; "after"
when it is done and nobody knows yet. `deaths.py` has the rest.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from banger.guest import ConnectedGuest, RunningOutput
from banger.host import programs
from tests.support.deaths import note_point, strike

VALUED = ("-c",)
"""Options of git that a word of their own follows."""


def die_at_calls(control: Path) -> None:
    """Arrange for this process's death at what is no transaction."""
    _wrap_git(control)
    _wrap_guest(control)


def _wrap_git(control: Path) -> None:
    piped = programs.piped

    @contextlib.asynccontextmanager
    async def deadly_piped(argv: Sequence[str], **named: Any) -> AsyncIterator[Any]:
        async with piped(argv, **named) as process:
            if argv[0] == "git":
                async with _point(control, f"git {_verb_of(argv)}"):
                    yield process
            else:
                yield process

    programs.piped = deadly_piped


def _wrap_guest(control: Path) -> None:
    run, tar_in, open_output = ConnectedGuest.run, ConnectedGuest.tar_in, ConnectedGuest.open_output
    list_directories, read_files = ConnectedGuest.list_directories, ConnectedGuest.read_files
    read = RunningOutput.__aiter__

    async def deadly_run(self: Any, argv: Sequence[str], **named: Any) -> Any:
        async with _point(control, f"guest run {argv[0]}"):
            return await run(self, argv, **named)

    async def deadly_tar_in(
        self: Any, path: str, chunks: AsyncIterable[bytes], **named: Any
    ) -> None:
        async with _point(control, "guest tar"):
            await tar_in(self, path, _deadly_chunks(control, "guest tar chunk", chunks), **named)

    @contextlib.asynccontextmanager
    async def deadly_open(self: Any, argv: Sequence[str], **named: Any) -> AsyncIterator[Any]:
        async with open_output(self, argv, **named) as output, _point(control, "guest output"):
            yield output

    async def deadly_read(self: Any) -> AsyncIterator[bytes]:
        async for chunk in _deadly_chunks(control, "guest output chunk", _Reading(read(self))):
            yield chunk

    async def deadly_list(self: Any, path: str, names: Sequence[bytes], **named: Any) -> Any:
        async with _point(control, "guest list"):
            return await list_directories(self, path, names, **named)

    async def deadly_read_files(
        self: Any, path: str, names: Sequence[bytes], **named: Any
    ) -> AsyncIterator[Any]:
        items = _Reading(read_files(self, path, names, **named))
        async for item in _deadly_chunks(control, "guest read chunk", items):
            yield item

    ConnectedGuest.list_directories = deadly_list  # type: ignore[method-assign]  # to die at it
    ConnectedGuest.read_files = deadly_read_files  # type: ignore[method-assign]  # to die at it
    ConnectedGuest.run = deadly_run  # type: ignore[method-assign]  # to die at it
    ConnectedGuest.tar_in = deadly_tar_in  # type: ignore[method-assign]  # to die at it
    ConnectedGuest.open_output = deadly_open  # type: ignore[method-assign]  # to die at it
    RunningOutput.__aiter__ = deadly_read  # type: ignore[method-assign, assignment]  # likewise


class _Reading:
    """An iterator as something that can be iterated over."""

    def __init__(self, chunks: Any) -> None:
        self._chunks = chunks

    def __aiter__(self) -> Any:
        return self._chunks


async def _deadly_chunks(
    control: Path, point: str, chunks: AsyncIterable[Any]
) -> AsyncIterator[Any]:
    async for chunk in chunks:
        async with _point(control, point):
            yield chunk


@contextlib.asynccontextmanager
async def _point(control: Path, point: str) -> AsyncIterator[None]:
    note_point(control, point)
    strike(control, point, "before")
    yield
    strike(control, point, "after")


def _verb_of(argv: Sequence[str]) -> str:
    words = iter(argv[1:])
    for word in words:
        if word in VALUED:
            next(words)
        elif not word.startswith("-"):
            return word
    return "?"
