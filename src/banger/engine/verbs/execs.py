"""Run programs in a guest. Takes no lock: the length is the user's (hazard C1)."""

from __future__ import annotations

import contextlib
import posixpath
import shlex
from collections.abc import Iterable, Iterator

from banger import guest
from banger.api.requests import GuestCommand, VmExec
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm
from banger.engine.state.operations import Operation
from banger.engine.verbs.refreshing import refresh_workspace
from banger.errors import ExecBadDirectory, ExecNotFound, InvalidRequest
from banger.model.vm import VmRecord, WorkspaceRecord

SHELLS = ("sh", "bash")
START_DEADLINE_S = 30.0
"""For the program to be running; a busy emulated guest takes a second."""


async def start_exec(engine: Engine, op: Operation, params: VmExec) -> guest.GuestProcess:
    """Start a program in a running VM; the caller owns the process and closes it.

    Waits, with a notice, while as many commands run in the VM as its agent serves.

    Raises:
        WrongState: the VM does not run.
        ExecNotFound, ExecNotExecutable: the program cannot be run.
    """
    require_command(params)
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    await refresh_workspace(engine, op, record, params.if_stale)
    with explained(record, params):
        return await guest.start_exec(
            connection,
            plan_exec(params, record),
            deadline_s=START_DEADLINE_S,
            on_wait=lambda room: note_wait(op, record, room),
        )


@contextlib.contextmanager
def explained(record: VmRecord, params: GuestCommand) -> Iterator[None]:
    """Have a command that cannot be started say how it could."""
    try:
        yield
    except ExecBadDirectory as error:
        if params.cwd is None:
            # The workspace was removed in the guest: there must be a way in to see why.
            error.hint = f"banger vm exec -w / {record.spec.name} -- ls -la"
        raise
    except ExecNotFound as error:
        raise _describe_not_found(record, params.argv[0]) from error


def require_command(params: GuestCommand) -> None:
    """Check that there is a program to run.

    Raises:
        InvalidRequest: there is none.
    """
    if not params.argv or "" in params.argv[:1]:
        raise InvalidRequest("There is no command to run.", hint="banger vm exec NAME -- ls")


def note_wait(op: Operation, record: VmRecord, room: int) -> None:
    """Tell the client that its command waits for one of `room` others."""
    op.note(
        "notice",
        f"{record.spec.name} runs {room} commands, the limit; waiting for one to end.",
    )


def _describe_not_found(record: VmRecord, program: str) -> ExecNotFound:
    vm, hint = record.spec.name, None
    if " " in program:
        hint = f"banger vm exec {vm} -- sh -c {shlex.quote(program)}"
    elif posixpath.basename(program) in SHELLS:
        # Images without a shell are common: their entrypoint says what they have instead.
        hint = f"banger image show {record.spec.image_name}"
    what = "no such file" if "/" in program else "command not found"
    return ExecNotFound(f"{program}: {what} in {vm}.", hint=hint)


def plan_exec(params: GuestCommand, record: VmRecord) -> guest.ExecSpec:
    """Return the program to run: defaults are those of the VM's image and workspace.

    Raises:
        InvalidRequest: an argument, variable or directory holds a NUL.
    """
    workspace, spec = record.workspace, record.spec
    cwd = params.cwd or (_default_directory(workspace) if workspace else spec.program.workdir)
    terminal = params.terminal
    variables = spec.environment | params.env
    return guest.ExecSpec(
        argv=tuple(encode_word(word) for word in params.argv),
        env=tuple((encode_word(name), encode_word(value)) for name, value in variables.items()),
        cwd=encode_word(cwd) if cwd else None,
        user=choose_user(record, params.user),
        terminal=None if terminal is None else (terminal.rows, terminal.columns),
        modes=() if terminal is None else parse_modes(terminal.modes),
        stdin=params.stdin,
    )


def parse_modes(modes: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the modes of a terminal.

    Raises:
        InvalidRequest: there can be no such mode or value.
    """
    for number, value in modes:
        if number not in guest.MODE_NUMBERS or not 0 <= value < 2**32:
            raise InvalidRequest(
                f"A terminal cannot have the mode {number} with the value {value}."
            )
    return tuple(modes)


def choose_user(record: VmRecord, asked: str | None) -> str | None:
    """Return the user that was asked for, else the image's, else None: root.

    A workspace belongs to root, in whose home it is: there the image's user could do nothing.
    """
    return asked or (record.spec.program.user if record.workspace is None else "") or None


def _default_directory(workspace: WorkspaceRecord) -> str:
    return posixpath.join(workspace.guest_path, workspace.directory or "")


def encode_word(text: str) -> bytes:
    """Return the bytes that the client had; those that are no UTF-8 come as surrogates.

    Raises:
        InvalidRequest: a NUL, which no argument can hold.
    """
    if "\0" in text:
        raise InvalidRequest("An argument, variable or directory contains a NUL character.")
    return text.encode("utf-8", "surrogateescape")
