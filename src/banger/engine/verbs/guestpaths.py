"""Paths in a guest as users type them: absolute, or relative to where their commands start.

A relative path is below the VM's workspace, else below the working directory of its image, else
below the home of its user, as the default directory of `vm exec` is; `~` is that home. Reads the
guest's /etc/passwd for it.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from banger import guest
from banger.errors import InvalidRequest
from banger.model.entries import GuestEntry
from banger.model.vm import VmRecord
from banger.tar.format import COMPONENT_BYTES_MAX, PATH_BYTES_MAX

PASSWD_DEADLINE_S = 30.0
PASSWD_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True)
class GuestPath:
    """A path that was typed. `name` is absolute, without `.`, `..` and a final slash."""

    name: bytes
    is_directory: bool
    """The path ends with a slash or a dot: it names a directory, also through a link."""
    is_content: bool
    """The path ends with `/.`: what is in the directory is meant."""


async def parse_guest_path(
    connection: guest.GuestConnection, record: VmRecord, untrusted_path: str
) -> GuestPath:
    """Return a typed path, made absolute.

    Raises:
        InvalidRequest: no file can have this name.
    """
    typed = _encode(untrusted_path)
    if typed.split(b"/", 1)[0] == b"~":
        typed = await _load_home(connection, record) + b"/" + typed[2:]
    if not typed.startswith(b"/"):
        typed = posixpath.join(await _default_directory(connection, record), typed or b"./")
    name = posixpath.normpath(b"/" + typed.lstrip(b"/"))
    last = posixpath.basename(typed)
    if len(name) > PATH_BYTES_MAX or max(map(len, name.split(b"/"))) > COMPONENT_BYTES_MAX:
        raise InvalidRequest("The path is too long for a guest.")
    return GuestPath(name, is_directory=last in (b"", b".", b".."), is_content=last == b".")


async def _default_directory(connection: guest.GuestConnection, record: VmRecord) -> bytes:
    program = record.spec.program
    if record.workspace is not None:
        workspace = record.workspace
        return _encode(posixpath.join(workspace.guest_path, workspace.directory or ""))
    if program.workdir:
        return _encode(program.workdir)
    return await _load_home(connection, record)


async def _load_home(connection: guest.GuestConnection, record: VmRecord) -> bytes:
    passwd = await _read_passwd(connection)
    return find_home(passwd, (record.spec.program.user or "0").partition(":")[0])


async def _read_passwd(connection: guest.GuestConnection) -> bytes:
    untrusted = b""
    found = guest.read_files(connection, b"/etc", [b"passwd"], deadline_s=PASSWD_DEADLINE_S)
    async for item in found:
        if not isinstance(item, GuestEntry):
            untrusted += item
        if len(untrusted) > PASSWD_BYTES_MAX:
            break
    return untrusted


def find_home(untrusted_passwd: bytes, user: str) -> bytes:
    """Return the home of a user, given by name or number; `/` if there is none."""
    wanted = user.encode("utf-8", "surrogateescape")
    for line in untrusted_passwd.split(b"\n"):
        fields = line.split(b":")
        if len(fields) >= 7 and wanted in (fields[0], fields[2]):
            home = fields[5]
            return home if home.startswith(b"/") and b"\0" not in home else b"/"
    return b"/"


def _encode(text: str) -> bytes:
    if "\0" in text:
        raise InvalidRequest("A path contains a NUL character.")
    return text.encode("utf-8", "surrogateescape")
