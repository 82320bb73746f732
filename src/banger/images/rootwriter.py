"""Write a root file system: sqfstar, fed with a tar stream through a pipe.

Owns the program and the pipe, and touches the one file that it writes. No locks. If we die the
pipe ends in the middle of the stream, and the file lies in a staging directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from banger.host.mmdebstrap import check_with_space, watch
from banger.host.programs import Finished, piped
from banger.host.setup import require_programs
from banger.images.plan import plan_sqfstar


def require_root_writer() -> None:
    """Check that `open_root_writer` has its program (H8).

    Raises:
        ToolMissing: sqfstar is not installed.
    """
    require_programs("sqfstar")


@dataclass
class RootWriter:
    """A running sqfstar and the end of the pipe that feeds it."""

    argv: list[str]
    sink: int
    process: asyncio.subprocess.Process
    words: asyncio.Task[bytes]

    def close(self) -> None:
        """Close our end of the pipe; the stream ends when nobody else has one."""
        if self.sink >= 0:
            os.close(self.sink)
            self.sink = -1

    async def finish(self) -> None:
        """End its input and wait for it.

        Raises:
            ToolFailed, NoSpace: it failed.
        """
        self.close()
        status = await self.process.wait()
        check_with_space(Finished(tuple(self.argv), status, b"", await self.words), self.argv[-1])


@contextlib.asynccontextmanager
async def open_root_writer(root: Path) -> AsyncIterator[RootWriter]:
    """A sqfstar that writes `root` from a pipe; killed on leaving if it still runs."""
    argv = plan_sqfstar(root)
    source, sink = os.pipe2(os.O_CLOEXEC)
    writer: RootWriter | None = None
    try:
        async with piped(argv, stdin=source, stdout=asyncio.subprocess.DEVNULL) as process:
            os.close(source)
            source = -1
            assert process.stderr
            words = asyncio.create_task(watch(process.stderr, lambda _: None))
            writer = RootWriter(argv, sink, process, words)
            sink = -1
            yield writer
    finally:
        for fd in (source, sink):
            if fd >= 0:
                os.close(fd)
        if writer is not None:
            writer.close()
            # It is dead by now, so its messages are at their end.
            await asyncio.wait({writer.words})
