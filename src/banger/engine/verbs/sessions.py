"""Sessions in guests. Takes no lock: their length is the user's (hazard C1), their state the
agent's.

Nothing of a session is stored on the host; if this process dies, the next one asks the agent.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

from banger import guest
from banger.api.method import serves
from banger.api.requests import VmRef
from banger.api.results import Deleted
from banger.api.sessions import (
    SessionAttach,
    SessionDelete,
    SessionRef,
    SessionSend,
    SessionSignal,
    SessionStart,
    SessionStop,
    SessionView,
)
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm
from banger.engine.state.operations import Operation
from banger.engine.verbs.execs import (
    START_DEADLINE_S,
    explained,
    note_wait,
    plan_exec,
    require_command,
)
from banger.errors import (
    DeadlineExceeded,
    InvalidRequest,
    SessionBusy,
    SessionEnded,
    SessionExists,
    SessionNotFound,
    SessionRunning,
    SessionTakesNoInput,
)
from banger.model.names import format_word_pair, parse_vm_name
from banger.model.vm import VmRecord

DEADLINE_S = 30.0
"""For the agent's answer; a busy emulated guest takes a second."""
KILL_DEADLINE_S = 30.0
NAME_TRIES = 20

_U64_MAX = 2**64 - 1


@serves("session.start")
async def start_session(engine: Engine, params: SessionStart) -> SessionView:
    """Start a command as a session; return once it runs.

    Raises:
        WrongState: the VM does not run.
        SessionExists: the name is taken, also by one that has ended.
        ExecNotFound, ExecNotExecutable: the program cannot be run.
    """
    require_command(params)
    given = None if params.name is None else parse_vm_name(params.name)
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    spec = plan_exec(params, record)
    for _ in range(NAME_TRIES):
        name = given or format_word_pair(int.from_bytes(engine.random_bytes(4)))
        try:
            with explained(record, params):
                made = await guest.start_session(
                    connection, name, spec, deadline_s=START_DEADLINE_S
                )
        except SessionExists as error:
            if given is not None:
                raise _taken(record, name) from error
        else:
            return view_session(record, made)
    raise SessionExists(
        f"No free name for a session was found in {record.spec.name}.",
        hint="banger vm session start --name NAME VM -- COMMAND",
    )


@serves("session.list")
async def list_sessions(engine: Engine, params: VmRef) -> list[SessionView]:
    """Return the sessions of a running VM, oldest first."""
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    found = await guest.list_sessions(connection, deadline_s=DEADLINE_S)
    return [view_session(record, each) for each in found]


@serves("session.show")
async def show_session(engine: Engine, params: SessionRef) -> SessionView:
    """Return one session.

    Raises:
        SessionNotFound: the VM has none of this name.
    """
    record, connection = await _reach(engine, params.ref)
    with _named(record, params.name):
        found = await guest.get_session(connection, params.name, deadline_s=DEADLINE_S)
        return view_session(record, found)


async def attach_session(
    engine: Engine, op: Operation, params: SessionAttach
) -> tuple[guest.SessionAttachment, SessionView]:
    """Read a session's output, and write to it; the caller closes the attachment.

    Raises:
        SessionNotFound, SessionBusy, SessionEnded, SessionTakesNoInput: see the errors.
    """
    view = _plan_attach(params)
    record, connection = await _reach(engine, params.ref)
    with _named(record, params.name):
        attachment = await guest.attach_session(
            connection,
            params.name,
            view,
            deadline_s=DEADLINE_S,
            on_wait=lambda room: note_wait(op, record, room),
        )
    return attachment, view_session(record, attachment.session)


async def open_session_input(
    engine: Engine, op: Operation, params: SessionSend
) -> guest.SessionInput:
    """Become the one who writes to a session; the caller closes what this returns.

    Raises: as `attach_session`.
    """
    record, connection = await _reach(engine, params.ref)
    with _named(record, params.name):
        return await guest.open_session_input(
            connection,
            params.name,
            end_input=params.end_input,
            deadline_s=DEADLINE_S,
            on_wait=lambda room: note_wait(op, record, room),
        )


@serves("session.signal")
async def signal_session(engine: Engine, params: SessionSignal) -> SessionView:
    """Send a signal to a session's process group.

    Raises:
        SessionNotFound: there is none of this name.
        SessionEnded: it has ended.
    """
    if not 0 < params.signal <= 64:
        raise InvalidRequest(f"{params.signal} is not a signal: signals are 1 to 64.")
    record, connection = await _reach(engine, params.ref)
    with _named(record, params.name):
        await guest.signal_session(connection, params.name, params.signal, deadline_s=DEADLINE_S)
        found = await guest.get_session(connection, params.name, deadline_s=DEADLINE_S)
        return view_session(record, found)


@serves("session.stop")
async def stop_session(engine: Engine, params: SessionStop) -> SessionView:
    """Ask a session to end, and kill it at the deadline; do nothing if it has ended.

    Raises:
        SessionNotFound: there is none of this name.
    """
    record, connection = await _reach(engine, params.ref)
    with _named(record, params.name):
        await _end(connection, params.name, patience_s=params.deadline_s)
        found = await guest.get_session(connection, params.name, deadline_s=DEADLINE_S)
        return view_session(record, found)


@serves("session.wait")
async def wait_session(engine: Engine, op: Operation, params: SessionRef) -> SessionView:
    """Wait for a session's end, as long as it takes.

    Raises:
        SessionNotFound: there is none of this name, or it was deleted.
    """
    record, connection = await _reach(engine, params.ref)
    with _named(record, params.name):
        await guest.wait_session(
            connection, params.name, on_wait=lambda room: note_wait(op, record, room)
        )
        found = await guest.get_session(connection, params.name, deadline_s=DEADLINE_S)
        return view_session(record, found)


@serves("session.delete")
async def delete_session(engine: Engine, params: SessionDelete) -> Deleted:
    """Forget a session and its output.

    Raises:
        SessionNotFound: there is none of this name.
        SessionRunning: it runs, and `force` was not asked for.
    """
    record, connection = await _reach(engine, params.ref)
    with _named(record, params.name):
        if params.force:
            await _end(connection, params.name, patience_s=0)
        await guest.delete_session(connection, params.name, deadline_s=DEADLINE_S)
    return Deleted(ids=[params.name])


def view_session(record: VmRecord, session: guest.GuestSession) -> SessionView:
    """Return a session as the API has it. Pure."""
    ended = session.exit
    has_status = ended is not None and ended.signal is None
    return SessionView(
        name=session.name,
        vm_id=record.id,
        vm=record.spec.name,
        state="running" if ended is None else "ended",
        argv=[word.decode("utf-8", "surrogateescape") for word in session.untrusted_argv],
        terminal=session.is_terminal,
        takes_input=session.takes_input,
        started_at=session.started_ns / 1e9,
        ended_at=None if session.ended_ns is None else session.ended_ns / 1e9,
        status=ended.status if ended is not None and has_status else None,
        signal=None if ended is None else ended.signal,
        pid=session.pid,
        output_bytes=session.size,
        kept_from=session.kept_from,
        readers=session.readers,
    )


async def _reach(engine: Engine, ref: str) -> tuple[VmRecord, guest.GuestConnection]:
    record = await get_vm(engine, ref)
    return record, await get_connection(engine, record)


async def _end(connection: guest.GuestConnection, name: str, *, patience_s: float) -> None:
    """Have a session end: by SIGTERM, after `patience_s` by SIGKILL."""
    with contextlib.suppress(SessionEnded):
        if patience_s > 0:
            await guest.signal_session(connection, name, signal.SIGTERM, deadline_s=DEADLINE_S)
            if await _has_ended_within(connection, name, patience_s):
                return
        await guest.signal_session(connection, name, signal.SIGKILL, deadline_s=DEADLINE_S)
        if not await _has_ended_within(connection, name, KILL_DEADLINE_S):
            raise DeadlineExceeded(
                f"The session {name} has not ended {KILL_DEADLINE_S:g} s after it was killed."
            )


async def _has_ended_within(
    connection: guest.GuestConnection, name: str, patience_s: float
) -> bool:
    try:
        async with asyncio.timeout(patience_s):
            await guest.wait_session(connection, name)
    except TimeoutError:
        return False
    return True


def _plan_attach(params: SessionAttach) -> guest.AttachSpec:
    if not 0 <= params.position <= _U64_MAX or (params.tail is not None and params.tail < 0):
        raise InvalidRequest("A position or a number of lines must not be negative.")
    since_ns = None if params.since is None else int(params.since * 1e9)
    if since_ns is not None and not 0 <= since_ns < 2**63:
        raise InvalidRequest(f"{params.since} is not a possible time of output.")
    terminal = params.terminal
    return guest.AttachSpec(
        position=params.position,
        lines=None if params.tail is None else min(params.tail, _U64_MAX),
        since_ns=since_ns,
        follow=params.follow,
        with_input=params.stdin,
        terminal=None if terminal is None else (terminal.rows, terminal.columns),
    )


@contextlib.contextmanager
def _named(record: VmRecord, name: str) -> Iterator[None]:
    """Have refusals name the session, its VM, and a command that helps."""
    vm = record.spec.name
    try:
        yield
    except SessionNotFound as error:
        raise SessionNotFound(
            f"There is no session {name} in {vm}.", hint=f"banger vm session list {vm}"
        ) from error
    except SessionBusy as error:
        raise SessionBusy(
            f"Another client is writing to the session {name} in {vm}.",
            hint=f"banger vm session attach --no-stdin {vm} {name}",
        ) from error
    except SessionEnded as error:
        raise SessionEnded(
            f"The session {name} in {vm} has ended.", hint=f"banger vm session logs {vm} {name}"
        ) from error
    except SessionRunning as error:
        raise SessionRunning(
            f"The session {name} in {vm} is still running.",
            hint=f"banger vm session stop {vm} {name}",
        ) from error
    except SessionTakesNoInput as error:
        raise SessionTakesNoInput(
            f"The session {name} in {vm} accepts no input.",
            hint=f"banger vm session attach --no-stdin {vm} {name}",
        ) from error


def _taken(record: VmRecord, name: str) -> SessionExists:
    vm = record.spec.name
    return SessionExists(
        f"{vm} already has a session named {name}.", hint=f"banger vm session show {vm} {name}"
    )
