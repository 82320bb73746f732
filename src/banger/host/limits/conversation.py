"""One question to the user's service manager, by D-Bus on its own socket.

A connection for each: a VM's start has one question, and no connection has to be kept alive.
Nothing is subscribed to: on this socket the manager tells everybody of its jobs.
Imported when there is a manager to ask. Owns the connection for the time of the call.
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
    """Start a transient unit and return when its job is done; False: there is one of this name.

    Raises:
        HostFailed: the manager refuses, or is not what it seems.
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
                pass  # what it tells of its other units


def _say(untrusted_error: Message) -> str:
    """Return what an error says, its text if it has one."""
    words = untrusted_error.body or [untrusted_error.header.fields.get(HeaderFields.error_name)]
    return str(words[0]).rstrip(".")


@contextlib.asynccontextmanager
async def _connected(manager: Path) -> AsyncIterator[DBusConnection]:
    """A connection that both sides have agreed on, closed on leaving."""
    reader, writer = await asyncio.open_unix_connection(manager)
    try:
        if read_peer(writer.get_extra_info("socket")) is None:
            raise HostFailed(f"{manager} is another user's, or of another container.")
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
    """Turn what a broken manager, or no manager at all, leads to into one error of ours."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise HostFailed(f"The service manager at {manager} went away.") from error
    except (ValueError, LookupError, struct.error) as error:
        raise HostFailed(f"What answers at {manager} is no service manager.") from error
