"""Convert a saved machine's files between the engine's layout and Firecracker's.

Firecracker opens files by path, and its jail shows it two places to write to. The memory file, a
large one, is lent to it as a link in the VM's saving directory: the file is written where it stays.
The state, a small one, is fetched from its working directory. Both are untrusted: Firecracker may
have been taken over by its guest. If we die the link goes with the next start or the VM.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

from banger.errors import VmmFailed
from banger.host.files import clone_file, space_errors
from banger.vmm.driver import VmmHandle
from banger.vmm.firecracker import names
from banger.vmm.firecracker.guestmemory import find_guest_memory
from banger.vmm.memory import write_memory

STATE_BYTES_MAX = 16 * 2**20
"""Of a state; 15 KB were seen."""


@contextlib.asynccontextmanager
async def lent(handle: VmmHandle, memory: Path) -> AsyncIterator[str]:
    """Let Firecracker write over a memory file for a block; yields the path that it is to open.

    Raises:
        VmmFailed: the file has another size afterwards.
        NoSpace: the file system is full.
    """
    assert handle.saving is not None
    target, size = Path(handle.saving) / names.MEMORY, memory.stat().st_size
    is_linked = await asyncio.to_thread(_lend, memory, target)
    try:
        yield str(target)
        if not is_linked:
            await asyncio.to_thread(clone_file, target, memory)
        if memory.stat().st_size != size:
            raise VmmFailed(f"Firecracker of VM {handle.vm_id} has saved another memory.")
    finally:
        target.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def unread(handle: VmmHandle) -> AsyncIterator[str]:
    """Yield a path for memory that is not needed; the file is removed after the block."""
    assert handle.saving is not None
    target = Path(handle.saving) / names.MEMORY
    target.unlink(missing_ok=True)
    try:
        yield str(target)
    finally:
        target.unlink(missing_ok=True)


def _lend(memory: Path, target: Path) -> bool:
    """Link the file; False: it is on another file system, and was copied."""
    target.unlink(missing_ok=True)
    try:
        os.link(memory, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP):
            raise
        clone_file(memory, target)
        return False
    return True


def take_state(handle: VmmHandle, state: Path) -> None:
    """Move the state that Firecracker has written to a new file.

    Raises:
        VmmFailed: it is not there, or is not what a state can be.
        NoSpace: the file system is full.
    """
    source = Path(handle.control_socket).with_name(names.STATE)
    untrusted_state = _read_state(source)
    with space_errors(state), open(state, "xb", opener=_private) as file:
        file.write(untrusted_state)
    source.unlink(missing_ok=True)


def _read_state(source: Path) -> bytes:
    try:
        fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise VmmFailed("The state that Firecracker has saved is not a file.")
            untrusted_state = file.read(STATE_BYTES_MAX + 1)
    except OSError as error:
        raise VmmFailed("Firecracker has not saved the VM's state.") from error
    if len(untrusted_state) > STATE_BYTES_MAX:
        raise VmmFailed("The state that Firecracker has saved is too large.")
    return untrusted_state


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def write_own_pages(handle: VmmHandle, memory: Path) -> None:
    """Write the pages of the guest that Firecracker has of its own over a memory file.

    Raises:
        VmmFailed: it ended, or has no such memory.
        HostNotReady: the host does not let us read it.
        NoSpace: there is no room.
    """
    begins = Path(handle.control_socket).with_name(names.MEMORY)
    origin = begins.stat().st_ino if begins.exists() else None
    for region in find_guest_memory(handle.process, memory.stat().st_size, origin=origin):
        write_memory(handle.process, target=memory, **region._asdict())
