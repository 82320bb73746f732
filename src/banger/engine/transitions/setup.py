"""Run a repository's setup commands in a guest, next to the place of its workspace.

The inputs are put into the directory that will be the workspace's, the commands run there as
root, one after the other, and the directory is then moved aside (`aside_directory`),
without the inputs: nothing of the user's repository stays, but what the commands made of it. The
import of a workspace takes it from there. If the process dies the guest's directory is left as it
is; the VM is a template's, which recovery deletes, or one whose making has not ended.

Holds no lock of its own. What the commands print is bounded: its end is kept for the error.
"""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterator

from banger import guest
from banger.engine.state.lookup import get_connection
from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.errors import DeadlineExceeded, ExecNotFound, SetupFailed
from banger.model.setup import Setup, aside_directory
from banger.tar.format import END_OF_TAR
from banger.tar.write import directory_entry, file_entry

SETUP_DEADLINE_S = 3600.0
"""For all commands together: packages from a slow mirror into an emulated guest."""
OPTIONAL_DEADLINE_S = 900.0
"""The user waits for more than was asked for."""
STEP_DEADLINE_S = 60.0
TAIL_BYTES = 32 * 1024
SHOWN_MAX = 80
KEEP = """
set -e
directory=$1 aside=$2
shift 2
cd "$directory"
rm -f -- "$@"
cd /
rm -rf -- "$aside"
mv -- "$directory" "$aside"
"""
"""$1 the directory, $2 where it is moved to, the rest the inputs."""


async def run_setup(machine: Machine, op: Operation, setup: Setup) -> None:
    """Run the commands in a running VM and keep what they made for its workspace.

    Raises:
        SetupFailed: a command failed, and the details are the end of what it printed; or they
            took longer than an hour, or a quarter of one if they are optional.
        GuestGone, GuestRefused: the guest is gone, or has no room for the inputs.
    """
    connection = await get_connection(machine.engine, machine.record)
    directory = _encode(setup.directory)
    op.progress("setup", 0, len(setup.commands))
    inputs = _archive(setup)
    await guest.tar_in(connection, directory, inputs, deadline_s=STEP_DEADLINE_S, empty_first=True)
    env = [(_encode(k), _encode(v)) for k, v in machine.record.spec.program.env.items()]
    try:
        limit_s = OPTIONAL_DEADLINE_S if setup.optional else SETUP_DEADLINE_S
        async with guest.deadline("the setup of the VM", limit_s):
            for number, command in enumerate(setup.commands):
                op.progress("setup", number, len(setup.commands))
                await _run(connection, command, env=env, cwd=directory)
    except DeadlineExceeded as error:
        raise SetupFailed(error.message) from error
    await _keep(connection, setup)


async def _archive(setup: Setup) -> AsyncIterator[bytes]:
    """Yield a tar of the directory with the inputs."""
    made = {""}
    for each in setup.inputs:
        parts = posixpath.dirname(each.path).split("/")
        for depth in range(1, len(parts) + 1):
            above = "/".join(parts[:depth])
            if above not in made:
                made.add(above)
                yield directory_entry(_encode(above))
        mode = 0o755 if each.executable else 0o644
        yield file_entry(_encode(each.path), each.content, mode=mode)
    yield END_OF_TAR


async def _run(
    connection: guest.GuestConnection,
    command: str,
    *,
    env: list[tuple[bytes, bytes]],
    cwd: bytes,
) -> None:
    words = (b"/bin/sh", b"-c", _encode(command))
    program = guest.ExecSpec(argv=words, env=tuple(env), cwd=cwd)
    shown = command if len(command) <= SHOWN_MAX else f"{command[:SHOWN_MAX]}..."
    tail = bytearray()
    try:
        process = await guest.start_exec(
            connection, program, deadline_s=STEP_DEADLINE_S, lane=guest.Lane.CONTROL
        )
    except ExecNotFound as error:
        raise SetupFailed("The image has no /bin/sh to run setup commands with.") from error
    async with process:
        async for _, data in process.output():
            tail += data
            del tail[:-TAIL_BYTES]
        ended = await process.wait()
    if ended.shell_status:
        raise SetupFailed(
            f"The setup command {shown!r} ended with status {ended.shell_status}.",
            details=tail.decode("utf-8", "replace"),
            hint="banger vm run --no-setup PATH",
        )


async def _keep(connection: guest.GuestConnection, setup: Setup) -> None:
    """Move what the commands made aside, without the inputs."""
    paths = [setup.directory, aside_directory(setup.directory), *(i.path for i in setup.inputs)]
    words = [b"/bin/sh", b"-c", KEEP.encode(), b"banger", *map(_encode, paths)]
    kept = await guest.run(connection, words, deadline_s=STEP_DEADLINE_S)
    if kept.status:
        raise SetupFailed(
            f"The files that the setup commands made in {setup.directory} could not be saved.",
            details=kept.untrusted_stderr[-TAIL_BYTES:].decode("utf-8", "replace"),
        )


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
