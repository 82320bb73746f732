"""The way of a request through the source: the functions of ours that wait for each other, at the
moment when a process is started or a guest is written to.

A step or a handler runs in a task of its own; the task that waits for it is found by its variables.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, cast

from banger.guest.link import Link
from banger.host import programs

PACKAGE = "banger."


def record_walks(file: Path) -> None:
    """Write a line of JSON into the file for each process that is started, each write to a guest:
    the names of the functions on the way, the outermost first."""
    spawn, send = programs.spawn_detached, Link.send

    def spawn_recorded(*args: Any, **named: Any) -> int:
        _note(file, "host.programs.spawn_detached")
        return spawn(*args, **named)

    def send_recorded(link: Link, data: bytes) -> None:
        _note(file, "guest.link.Link.send")
        send(link, data)

    programs.spawn_detached = spawn_recorded
    Link.send = send_recorded  # type: ignore[method-assign]  # as each write is noted


def _note(file: Path, last: str) -> None:
    walk = [*_list_callers(), last]
    with open(file, "a", encoding="utf-8") as output:
        output.write(json.dumps(walk) + "\n")


def _list_callers() -> list[str]:
    names = [name for frame in _running_frames() if (name := _name(frame))][::-1]
    task = asyncio.current_task()
    while task is not None:
        task, frames = _find_waiting(task)
        names = [name for frame in frames if (name := _name(frame))] + names
    return names


def _running_frames() -> Iterator[FrameType]:
    """Yield the frames of the task that runs, the innermost first."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.endswith("asyncio/events.py"):
        yield frame
        frame = frame.f_back


def _find_waiting(
    awaited: asyncio.Task[Any],
) -> tuple[asyncio.Task[Any] | None, list[FrameType]]:
    """Return the task that waits for another, and its frames, the outermost first."""
    for task in asyncio.all_tasks() - {awaited}:
        frames = list(_waiting_frames(task))
        if any(_holds(value, awaited) for frame in frames for value in frame.f_locals.values()):
            return task, frames
    return None, []


def _waiting_frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    coroutine: Any = cast(Coroutine[Any, Any, Any], task.get_coro())
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is None:
            return
        yield frame
        coroutine = coroutine.cr_await


def _holds(value: object, task: asyncio.Task[Any]) -> bool:
    return value is task or (isinstance(value, list) and any(each is task for each in value))


def _name(frame: FrameType) -> str | None:
    """Return a function's name as the documentation has it; None: it is not one of ours."""
    module = str(frame.f_globals.get("__name__", ""))
    if not module.startswith(PACKAGE):
        return None
    return f"{module.removeprefix(PACKAGE)}.{frame.f_code.co_qualname.rpartition('<locals>.')[2]}"
