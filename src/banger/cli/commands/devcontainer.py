"""Commands of a devcontainer.json that run in the workspace when it has been put in, or on a start.

What they print is kept, not shown: its end is in the error when one fails.
"""

from __future__ import annotations

import contextlib

from banger.cli.app.context import Context
from banger.cli.terminal.progress import Stages
from banger.errors import SetupFailed

SHOWN_MAX = 80
TAIL_BYTES = 32 * 1024

Commands = tuple[tuple[str, ...], ...]


def run_commands(
    commands: Commands, ref: str, context: Context, *, stages: Stages, cwd: str
) -> None:
    """Run commands in a VM, one after the other.

    Raises:
        SetupFailed: one ended with another status than 0; those after it were not run.
    """
    from banger.project.file import show_command

    for argv in commands:
        stages.enter("set up")
        status, tail = _run(argv, ref, context, cwd=cwd)
        if status:
            stages.end()
            raise SetupFailed(
                f"The command {show_command(argv)!r:.{SHOWN_MAX}} of the repository's "
                f"devcontainer.json ended with status {status}.",
                details=tail.decode("utf-8", "replace"),
                hint="banger vm run --no-setup PATH",
            )


def _run(argv: tuple[str, ...], ref: str, context: Context, *, cwd: str) -> tuple[int, bytes]:
    tail = bytearray()
    with context.client() as client:
        stream = client.stream("vm.exec", {"ref": ref, "argv": list(argv), "cwd": cwd})
    with contextlib.closing(stream):
        for _, data in stream:
            tail += data
            del tail[:-TAIL_BYTES]
    ended = stream.require_exit()
    return 128 + ended["signal"] if ended.get("signal") else ended.get("status", 0), bytes(tail)
