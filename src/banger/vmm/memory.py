"""Read the guest's memory from a VMM's process while the guest is paused.

Reads `/proc/PID/pagemap` and `/proc/PID/mem`, writes one file. Only pages that the VMM has of its
own are read: those that it still shares with the file that the guest was started from, and
those that were never touched, are what the target file holds already. So the time it takes
goes by what the guest has written, not by the size of its memory.

Permission: the kernel lets a user read the memory of his own processes, and, where
`kernel.yama.ptrace_scope` is 1 as on Ubuntu, of those in user namespaces that he owns, as the
jailed VMM's is. proc(5) has the files, pagemap's bits are in the kernel's
`admin-guide/mm/pagemap.rst`.

The process may have been taken over by its guest: what is read are bytes, at an address that it
chose, of its own memory. Takes no locks. If we die the target is half-written: it lies in
`staging/`.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from banger.errors import HostNotReady, VmmFailed
from banger.host.files import space_errors
from banger.host.identity import ProcessIdentity, is_alive

PAGE = os.sysconf("SC_PAGE_SIZE")
ENTRY = 8
"""Bytes of pagemap for each page."""
PRESENT, SWAPPED, OF_FILE = 1 << 63, 1 << 62, 1 << 61
ENTRIES_AT_ONCE = 64 * 1024
BYTES_AT_ONCE = 2**20


class Region(NamedTuple):
    """A part of a guest's memory: in its VMM's address space, and in the file. All in bytes."""

    address: int
    offset: int
    size: int


def write_memory(
    process: ProcessIdentity,
    *,
    address: int,
    target: Path,
    offset: int = 0,
    size: int | None = None,
) -> None:
    """Write the pages that a process has of its own from `address` on over `target`.

    As many bytes as `target` has are the guest's memory; or `size` of them, from `offset` on.

    Raises:
        VmmFailed: the process ended, or has no such memory.
        HostNotReady: we may not read it.
        NoSpace: there is no room for it.
    """
    with contextlib.ExitStack() as stack:
        try:
            pagemap, memory = (_opened(stack, process, name) for name in ("pagemap", "mem"))
        except PermissionError as error:
            if not is_alive(process):  # it is a zombie
                raise VmmFailed(f"The VMM with pid {process.pid} has ended.") from error
            raise HostNotReady(
                "The host does not allow banger to read the memory of its own VMM.",
                hint="banger setup (or: sysctl kernel.yama.ptrace_scope=0)",
            ) from error
        except OSError as error:
            raise VmmFailed(f"The VMM with pid {process.pid} has ended.") from error
        if not is_alive(process):  # what was opened stays that very process's
            raise VmmFailed(f"The VMM with pid {process.pid} has ended.")
        with space_errors(target):
            file = os.open(target, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            stack.callback(os.close, file)
            is_empty = os.fstat(file).st_blocks == 0
            region = Region(address, offset, os.fstat(file).st_size if size is None else size)
            pages = region.size // PAGE
            for first, last in find_own_pages(pagemap, first=region.address // PAGE, pages=pages):
                _copy(memory, file, region, first * PAGE, last * PAGE, skip_zeros=is_empty)


def find_own_pages(pagemap: int, *, first: int, pages: int) -> Iterator[tuple[int, int]]:
    """Yield runs of pages that are no file's, counted from `first`: start, end.

    Raises:
        VmmFailed: the process ended.
    """
    start = None
    for at in range(0, pages, ENTRIES_AT_ONCE):
        number = min(ENTRIES_AT_ONCE, pages - at)
        untrusted_entries = os.pread(pagemap, number * ENTRY, (first + at) * ENTRY)
        if len(untrusted_entries) != number * ENTRY:
            raise VmmFailed("The VMM's memory is not where the VMM reports it.")
        if start is None and not any(untrusted_entries):
            continue
        for page, entry in enumerate(array("Q", untrusted_entries), at):
            own = entry & (PRESENT | SWAPPED) and not entry & OF_FILE
            if own and start is None:
                start = page
            elif not own and start is not None:
                yield start, page
                start = None
    if start is not None:
        yield start, pages


def _opened(stack: contextlib.ExitStack, process: ProcessIdentity, name: str) -> int:
    fd = os.open(f"/proc/{process.pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def _copy(
    memory: int, file: int, region: Region, start: int, end: int, *, skip_zeros: bool
) -> None:
    """Copy a range of a region; zeros that the file has as holes stay holes."""
    while start < end:
        try:
            size = min(BYTES_AT_ONCE, end - start)
            untrusted_bytes = os.pread(memory, size, region.address + start)
        except OSError as error:
            raise VmmFailed("The VMM's memory is not where the VMM reports it.") from error
        if not untrusted_bytes:
            raise VmmFailed("The VMM ended while its memory was read.")
        write = _write_nonzero if skip_zeros else _write_all
        write(file, untrusted_bytes, region.offset + start)
        start += len(untrusted_bytes)


def _write_nonzero(file: int, content: bytes, offset: int) -> None:
    """Write the pages that are not all zero, neighbours together."""
    zero = bytes(PAGE)
    begin = 0
    for at in range(0, len(content), PAGE):
        if content[at : at + PAGE] == zero:
            _write_all(file, content[begin:at], offset + begin)
            begin = at + PAGE
    _write_all(file, content[begin:], offset + begin)


def _write_all(file: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written
