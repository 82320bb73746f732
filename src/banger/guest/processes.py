"""List a guest's processes: PROCESSES (guest protocol, section 6).

Owns the stream of the request. A hostile guest may send any record (hazard E2): lengths, their
number and the size of all are bounded, and texts are bytes until they are printed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from banger.errors import GuestProtocolError, GuestRefused
from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection
from banger.guest.deadlines import deadline
from banger.guest.outdated import explain_outdated
from banger.guest.stream import Request

RECORD = struct.Struct("<IIIIIcBHQQQ")
COMMAND_BYTES_MAX = 4096
USER_BYTES_MAX = 64
PROCESSES_MAX = 65536
LIST_BYTES_MAX = 4 * 1024 * 1024
"""Limit for all records: an answer of the daemon has room for 8 MiB, and JSON needs more."""
_OF_KERNEL = 1


@dataclass(frozen=True, kw_only=True)
class ListedProcess:
    """A process of the guest, as its agent tells."""

    pid: int
    parent: int
    uid: int
    user: bytes
    """Empty: the user has no name."""
    state: str
    """A letter, as in proc_pid_stat(5)."""
    is_of_kernel: bool
    cpu_ns: int
    age_ns: int
    """Since it began."""
    resident_bytes: int
    command: bytes


async def list_processes(connection: GuestConnection, *, deadline_s: float) -> list[ListedProcess]:
    """Return what runs in the guest.

    Raises:
        GuestRefused: the agent failed, or is too old to list processes.
        GuestProtocolError: the guest sent something else.
    """
    what = "listing the guest's processes"
    found: list[ListedProcess] = []
    size = 0
    untrusted = b""
    try:
        async with (
            deadline(what, deadline_s),
            await connection.open_stream(Request(Kind.PROCESSES, what)) as stream,
        ):
            while (taken := await stream.read()) is not None:
                more, untrusted = parse_processes(untrusted + taken[1])
                found += more
                size += len(taken[1])
                if len(found) > PROCESSES_MAX or size > LIST_BYTES_MAX:
                    raise GuestProtocolError("The guest lists too many processes.")
            await stream.result()
    except GuestRefused as error:
        raise explain_outdated(error, "list processes") from error
    if untrusted:
        raise GuestProtocolError("The guest sent the record of a process that is cut off.")
    return found


def parse_processes(untrusted: bytes) -> tuple[list[ListedProcess], bytes]:
    """Return the whole records at the beginning, and the rest. Pure.

    Raises:
        GuestProtocolError: a record is invalid.
    """
    found, at = [], 0
    while len(untrusted) - at >= RECORD.size:
        command_bytes, user_bytes, *numbers = RECORD.unpack_from(untrusted, at)
        pid, parent, uid, state, flags, _, cpu_ns, age_ns, resident_bytes = numbers
        if command_bytes > COMMAND_BYTES_MAX or user_bytes > USER_BYTES_MAX or state > b"\x7f":
            raise GuestProtocolError("The guest sent the record of a process that is out of range.")
        command_at = at + RECORD.size
        user_at = command_at + command_bytes
        if len(untrusted) < user_at + user_bytes:
            break
        at = user_at + user_bytes
        found.append(
            ListedProcess(
                pid=pid,
                parent=parent,
                uid=uid,
                user=untrusted[user_at:at],
                state=state.decode("ascii"),
                is_of_kernel=bool(flags & _OF_KERNEL),
                cpu_ns=cpu_ns,
                age_ns=age_ns,
                resident_bytes=resident_bytes,
                command=untrusted[command_at:user_at],
            )
        )
    return found, untrusted[at:]
