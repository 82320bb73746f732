"""One call to the user's service manager, by D-Bus on the manager's own socket.

Each call opens a connection: a VM's start makes one call, and no connection has to be kept alive.
No subscription is needed: on this socket the manager announces its jobs to every client.
Imported only if there is a manager. Owns the connection during the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from jeepney import (  # type: ignore[import-untyped]  # it has no types
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    new_method_call,
)
from jeepney.auth import BEGIN, Authenticator  # type: ignore[import-untyped]  # nor here
from jeepney.io.asyncio import DBusConnection  # type: ignore[import-untyped]  # nor here

from banger.errors import HostFailed
from banger.host.limits.servicemanager import read_peer

MANAGER = DBusAddress(
    "/org/freedesktop/systemd1",
    bus_name="org.freedesktop.systemd1",
    interface="org.freedesktop.systemd1.Manager",
)
UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists"
LINE_BYTES = 1024


async def start_unit(
    manager: Path, name: str, properties: Sequence[tuple[str, tuple[str, object]]]
) -> bool:
    """Start a transient unit and return when its job is done; False: a unit has this name already.

    Raises:
        HostFailed: the manager refuses, or the socket is no service manager's.
    """
    body: tuple[object, ...] = (name, "fail", list(properties), [])
    call = new_method_call(MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)
    with _protocol_errors(manager):
        async with _connected(manager) as connection:
            await connection.send(call, serial=1)
            return await _wait_done(connection, name)


async def _wait_done(connection: DBusConnection, name: str) -> bool:
    job: object = None
    while True:
        untrusted_message = await connection.receive()
        fields = untrusted_message.header.fields
        match untrusted_message.header.message_type:
            case MessageType.method_return:
                job = untrusted_message.body[0]
            case MessageType.error if fields.get(HeaderFields.error_name) == UNIT_EXISTS:
                return False
            case MessageType.error:
                raise HostFailed(f"The service manager refuses {name}: {_say(untrusted_message)}.")
            case MessageType.signal if fields.get(HeaderFields.member) == "JobRemoved":
                _, path, _, result = untrusted_message.body
                if path == job and result != "done":
                    raise HostFailed(f"The service manager could not start {name}: {result}.")
                if path == job:
                    return True
            case _:
                pass  # an announcement about another unit


def _say(untrusted_error: Message) -> str:
    """Return an error's text, or its name if it has no text."""
    words = untrusted_error.body or [untrusted_error.header.fields.get(HeaderFields.error_name)]
    return str(words[0]).rstrip(".")


@contextlib.asynccontextmanager
async def _connected(manager: Path) -> AsyncIterator[DBusConnection]:
    """Open an authenticated connection; close it on leaving."""
    reader, writer = await asyncio.open_unix_connection(manager)
    try:
        if read_peer(writer.get_extra_info("socket")) is None:
            raise HostFailed(f"{manager} belongs to another user or another container.")
        authenticator = Authenticator()
        for line in authenticator:
            writer.write(line)
            authenticator.feed(await _read_some(reader))
        writer.write(BEGIN)
        yield DBusConnection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _read_some(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(LINE_BYTES)
    if not data:
        raise EOFError
    return data


@contextlib.contextmanager
def _protocol_errors(manager: Path) -> Iterator[None]:
    """Raise HostFailed for every error that a broken or missing manager leads to."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise HostFailed(f"The service manager at {manager} closed the connection.") from error
    except (ValueError, LookupError, struct.error) as error:
        raise HostFailed(
            f"The program that answers at {manager} is not a service manager."
        ) from error
