"""SFTP sessions: the agent serves the protocol, the host passes its bytes on unread.

Owns the stream of each session. If this process dies, the agent ends the session's process with
the connection; a file that was being written stays as far as it had come.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from banger.errors import BangerError, ExecBadDirectory, ExecNoSuchUser, GuestRefused
from banger.guest.admission import Lane
from banger.guest.codec import Kind
from banger.guest.connection import GuestConnection, OnWait
from banger.guest.deadlines import deadline
from banger.guest.exec import STDOUT, ExitStatus
from banger.guest.fields import Tag, encode_fields, name
from banger.guest.outdated import explain_outdated
from banger.guest.ports import user_field
from banger.guest.stream import Request, Stream

CLOSE_GRACE_S = 5.0
"""Seconds for the agent to confirm that the session's process has ended."""

_REFUSALS = {"bad-directory": ExecBadDirectory, "no-such-user": ExecNoSuchUser}


class GuestSftp:
    """One SFTP session: bytes for the server, bytes from it. Use it in an `async with`.

    The methods are those of a `GuestProcess`, so that whatever relays a program relays a session.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def __aenter__(self) -> GuestSftp:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def read(self) -> bytes:
        """Return the next bytes of the server, or b"" at the end, which `wait` explains."""
        taken = await self._stream.read()
        return b"" if taken is None else taken[1]

    async def write(self, data: bytes | memoryview) -> bool:
        """Send the client's bytes as fast as the server takes them; False if it has ended."""
        return await self._stream.write(data)

    async def write_eof(self) -> None:
        """Say that the client sends no more; the server ends once it has answered all."""
        await self._stream.write_eof()

    async def output(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield (1, data) of the server until its end."""
        while data := await self.read():
            yield STDOUT, data

    async def wait(self) -> ExitStatus:
        """Wait for the end of the session.

        Raises:
            ExecBadDirectory: `cwd` cannot be entered.
            GuestRefused: the client broke the protocol, or the session was closed.
        """
        await self._stream.result()
        return ExitStatus(0)

    async def resize(self, rows: int, columns: int) -> None:
        """Do nothing: a session has no terminal."""

    async def signal(self, number: int) -> None:
        """Do nothing: a client ends its session by closing it."""

    async def close(self) -> bool:
        """End the session at once, unless it has ended. Idempotent. False: not confirmed."""
        try:
            return await self._stream.finish(grace_s=CLOSE_GRACE_S)
        except BangerError:
            return False  # the connection broke, and the agent ends its sessions


async def open_sftp(
    connection: GuestConnection,
    *,
    user: str | None = None,
    cwd: bytes | None = None,
    deadline_s: float,
    on_wait: OnWait | None = None,
) -> GuestSftp:
    """Open a session of a user (`user`, `uid`, `user:group` or `uid:gid`; default: root).

    Relative names begin at `cwd`, which is absolute; default: the user's home. The deadline and
    `on_wait` are as in `start_exec`.

    Raises:
        ExecNoSuchUser: the guest does not know the user.
        GuestRefused: the agent is too old to serve SFTP.
    """
    what = "opening an SFTP session in the guest"
    fields = user_field(user)
    if cwd is not None:
        fields.append((Tag.CWD, name(cwd)))
    request = Request(Kind.SFTP, what, encode_fields(fields), _REFUSALS)
    ticket = await connection.admit(Lane.COMMANDS, on_wait=on_wait)
    async with deadline(what, deadline_s):
        stream = await connection.open_stream(request, ticket)
        try:
            await stream.first_event()
        except GuestRefused as error:
            raise explain_outdated(error, "serve SFTP") from error
    return GuestSftp(stream)
