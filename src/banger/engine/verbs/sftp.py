"""SFTP sessions in guests. Takes no lock: the length is the user's (hazard C1)."""

from __future__ import annotations

from banger import guest
from banger.api.requests import VmSftp
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm
from banger.engine.state.operations import Operation
from banger.engine.verbs.execs import choose_user, encode_word, note_wait
from banger.errors import InvalidRequest

OPEN_DEADLINE_S = 30.0
"""For the session to be open; a busy emulated guest takes a second."""


async def open_sftp(engine: Engine, op: Operation, params: VmSftp) -> guest.GuestSftp:
    """Open a session in a running VM; the caller owns the session and closes it.

    Waits as `start_exec` does.

    Raises:
        WrongState: the VM does not run.
        ExecNoSuchUser: the guest does not know the user.
        GuestRefused: the VM's agent is too old to serve SFTP.
    """
    if params.cwd is not None and not params.cwd.startswith("/"):
        raise InvalidRequest(f"The directory {params.cwd!r} is not absolute.")
    record = await get_vm(engine, params.ref)
    connection = await get_connection(engine, record)
    return await guest.open_sftp(
        connection,
        user=choose_user(record, params.user),
        cwd=None if params.cwd is None else encode_word(params.cwd),
        deadline_s=OPEN_DEADLINE_S,
        on_wait=lambda room: note_wait(op, record, room),
    )
