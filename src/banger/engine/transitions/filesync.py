"""Put the files that the setting `file_sync` names into a new VM.

Only regular files beneath the user's home are read, without following links. They are put into
VMs of users only: no template and no pooled clone contains them (D6). A notice reports a file that
cannot be read or that the guest refuses; the VM is created nevertheless.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from banger import guest
from banger.engine.state.lookup import get_connection
from banger.engine.state.machine import Machine
from banger.engine.state.operations import Operation
from banger.errors import BangerError, ConfigInvalid
from banger.host.reading import read_below
from banger.model.filesync import SyncedFile
from banger.tar.format import END_OF_TAR
from banger.tar.write import file_entry

FILE_MAX_BYTES = 1024 * 1024
PUT_DEADLINE_S = 30.0


async def put_files(machine: Machine, op: Operation) -> None:
    """Copy what `file_sync` names into a running VM."""
    files = machine.engine.settings.file_sync.files
    if not files:
        return
    op.progress("file_sync")
    entries: list[bytes] = []
    for file in files:
        try:
            entries.append(await asyncio.to_thread(_read_entry, file))
        except BangerError as error:
            op.note("notice", f"file_sync: {error.message}")
    if not entries:
        return
    try:
        connection = await get_connection(machine.engine, machine.record)
        await guest.tar_in(connection, b"/", _chunks(entries), deadline_s=PUT_DEADLINE_S)
    except BangerError as error:
        op.note("notice", f"file_sync: the files could not be copied: {error.message}")


def _read_entry(file: SyncedFile) -> bytes:
    """Return the tar entry of a file of the user's home.

    Raises:
        ConfigInvalid: there is no such regular file, a link is on the way, or it is too large.
    """
    content = read_below(os.path.expanduser("~"), file.host, limit=FILE_MAX_BYTES)
    if content is None:
        raise ConfigInvalid(f"~/{file.host} does not exist.")
    return file_entry(os.fsencode(file.guest[1:]), content.data, mode=file.mode)


async def _chunks(entries: list[bytes]) -> AsyncIterator[bytes]:
    for entry in entries:
        yield entry
    yield END_OF_TAR
