"""Copy files into and out of running VMs. Takes no lock: the length is the user's (hazard C1).

The guest's agent packs and unpacks. An archive that comes out is passed on unread: whoever
extracts it checks it (hazard E3, `banger.tar.extract`). Nothing is kept on the host, so nothing has
to be undone when the daemon dies: the transfer ends, and the files copied so far stay, all whole.
"""

from __future__ import annotations

import contextlib
import posixpath
import shlex
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Literal

from banger import guest
from banger.api.method import serves
from banger.api.requests import (
    VmChecksumFile,
    VmCopyIn,
    VmCopyOut,
    VmListDirectory,
    VmStatFile,
    VmWatchFiles,
)
from banger.api.results import DirectoryEntry, FileChecksum, GuestFile, StartedCopy
from banger.api.wire import Document
from banger.engine.state.engine import Engine
from banger.engine.state.lookup import get_connection, get_vm
from banger.engine.verbs.guestpaths import GuestPath, parse_guest_path
from banger.errors import GuestPathNotFound, GuestRefused, InvalidRequest
from banger.model.entries import GuestEntry

STAT_DEADLINE_S = 30.0
"""For the agent's answer; a busy emulated guest takes a second."""
LIST_DEADLINE_S = 60.0
ENTRIES_MAX = 40_000
NAMES_BYTES_MAX = 1024 * 1024
"""With `ENTRIES_MAX`: of a listing, so that it stays below the 8 MiB of a reply."""
LINKS_MAX = 40
"""Links followed to one file; the kernel's own limit."""
ROOT_OWNER = (0, 0)
_KINDS: dict[int, Literal["file", "directory", "link"]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
}


@dataclass(frozen=True)
class CopyOut:
    """An archive on its way out."""

    started: StartedCopy
    untrusted_chunks: AsyncIterator[bytes]


@dataclass(frozen=True)
class CopyTarget:
    """A directory in a guest that an archive is extracted into."""

    connection: guest.GuestConnection
    path: bytes
    owner: tuple[int, int] | None
    """None: the owners that the archive names."""
    part_offset: int | None
    """Offset of the archive's one file; None: an interrupted copy keeps nothing."""


@serves("vm.stat_file")
async def stat_file(engine: Engine, params: VmStatFile) -> GuestFile:
    """Return what is at a path in a running VM.

    Raises:
        GuestPathNotFound: nothing is.
        WrongState: the VM does not run.
    """
    place = await _open_place(engine, params.ref, params.path)
    return await place.stat(follow=params.follow)


@serves("vm.list_directory")
async def list_directory(engine: Engine, params: VmListDirectory) -> list[DirectoryEntry]:
    """Return what is in a directory of a running VM, by name.

    Raises:
        GuestPathNotFound: there is none.
        InvalidRequest: it is no directory, or has more entries than a reply has room for.
        WrongState: the VM does not run.
    """
    place = await _open_place(engine, params.ref, params.path)
    file = await place.require_directory()
    found = await guest.list_directories(
        place.connection, place.path.name, [b""], deadline_s=LIST_DEADLINE_S
    )
    if len(found) > ENTRIES_MAX or sum(len(entry.name) for entry in found) > NAMES_BYTES_MAX:
        raise InvalidRequest(f"{file.path} in {place.vm} has too many entries to list.")
    return [_describe_entry(entry) for entry in sorted(found)]


@contextlib.asynccontextmanager
async def watch_files(
    engine: Engine, params: VmWatchFiles
) -> AsyncIterator[AsyncIterator[Document]]:
    """Watch a directory of a running VM for a block; yield the changes as the API has them.

    Raises:
        GuestPathNotFound: there is none.
        InvalidRequest: it is no directory, or the kernel generates its content.
        WrongState: the VM does not run.
    """
    place = await _open_place(engine, params.ref, params.path)
    file = await place.require_directory()
    top = place.path.name
    with _refusing_kernel_files(file, place, "watched"):
        async with guest.watch_changes(
            place.connection, top, deadline_s=LIST_DEADLINE_S
        ) as changes:
            yield (_describe_change(top, change) async for change in changes)


@serves("vm.checksum_file")
async def checksum_file(engine: Engine, params: VmChecksumFile) -> FileChecksum:
    """Return a digest of how a file in a running VM begins.

    Raises:
        GuestPathNotFound: there is no such file.
        GuestRefused: it is shorter, or no regular file.
        WrongState: the VM does not run.
    """
    _require_size(params.size)
    place = await _open_place(engine, params.ref, params.path)
    digest = await guest.checksum(place.connection, place.path.name, params.size)
    return FileChecksum(digest=digest.hex())


def _require_size(size: int) -> None:
    if not 0 <= size < 2**63:
        raise InvalidRequest(f"{size} is not a size.")


@contextlib.asynccontextmanager
async def open_copy_out(engine: Engine, params: VmCopyOut) -> AsyncIterator[CopyOut]:
    """Have the guest pack a file or a tree during a block.

    Raises:
        GuestPathNotFound: there is no such file.
        InvalidRequest: the path is the root, the kernel generates its content (`/proc/version`),
            or it is neither a file, a directory nor a link.
        WrongState: the VM does not run.
    """
    _require_size(params.offset)
    place = await _open_place(engine, params.ref, params.path)
    file = await place.stat(follow=params.follow or place.path.is_directory)
    _require_copyable(file, place)
    path = file.path.encode("utf-8", "surrogateescape")
    names: tuple[bytes, ...] = ()
    if not place.path.is_content:
        above, name = posixpath.split(path)
        path, names = above, (name,)
    started = StartedCopy(path=_decode(place.path.name), file=file, name=_decode(b"".join(names)))
    with _refusing_kernel_files(file, place, "copied"):
        async with guest.tar_out(
            place.connection, path, names, deadline_s=None, offset=params.offset
        ) as chunks:
            yield CopyOut(started, chunks)


async def find_copy_target(engine: Engine, params: VmCopyIn) -> CopyTarget:
    """Return the directory of a running VM that an archive is to be extracted into.

    Raises:
        GuestPathNotFound: there is no such directory.
        WrongState: the VM does not run.
    """
    _require_size(params.part_offset or 0)
    place = await _open_place(engine, params.ref, params.path)
    await place.require_directory()
    owner = None if params.keep_owners else ROOT_OWNER
    return CopyTarget(place.connection, place.path.name, owner, params.part_offset)


async def copy_in(target: CopyTarget, chunks: AsyncIterator[bytes]) -> None:
    """Have the guest extract an archive.

    Raises:
        GuestRefused: the archive is malformed, or the guest cannot write a file, as on a full disk.
    """
    await guest.tar_in(
        target.connection,
        target.path,
        chunks,
        owner=target.owner,
        part_offset=target.part_offset,
        deadline_s=None,
    )


@dataclass(frozen=True)
class _Place:
    """A path in a running VM."""

    vm: str
    connection: guest.GuestConnection
    path: GuestPath

    async def stat(self, *, follow: bool) -> GuestFile:
        """Return what is there; a link is followed if asked for."""
        path = self.path.name
        for _ in range(LINKS_MAX):
            found = await self._lstat(path)
            target = found.untrusted_target
            if not follow or target is None:
                return _describe(path, found)
            path = _normal_end(posixpath.join(posixpath.dirname(path), target))
        raise InvalidRequest(f"{_decode(self.path.name)} in {self.vm} is a loop of links.")

    async def require_directory(self) -> GuestFile:
        """Return the directory that is there, or that a link leads to."""
        file = await self.stat(follow=True)
        if file.kind != "directory":
            raise InvalidRequest(f"{file.path} in {self.vm} is not a directory.")
        return file

    async def _lstat(self, path: bytes) -> guest.GuestStat:
        try:
            return await guest.stat(self.connection, path, deadline_s=STAT_DEADLINE_S)
        except GuestPathNotFound as error:
            above = shlex.quote(_decode(posixpath.dirname(path)))
            raise GuestPathNotFound(
                f"There is no {_decode(path)} in {self.vm}.",
                hint=f"banger vm exec {self.vm} -- ls -la {above}",
            ) from error


async def _open_place(engine: Engine, ref: str, untrusted_path: str) -> _Place:
    record = await get_vm(engine, ref)
    connection = await get_connection(engine, record)
    path = await parse_guest_path(connection, record, untrusted_path)
    return _Place(record.spec.name, connection, path)


def _require_copyable(file: GuestFile, place: _Place) -> None:
    if posixpath.normpath(file.path) == "/":
        raise InvalidRequest(
            "The root directory of a VM cannot be copied as files, only saved as an image.",
            hint=f"banger vm commit {place.vm} IMAGE",
        )
    if file.kind == "other":
        raise InvalidRequest(f"{file.path} in {place.vm} is a device, a pipe or a socket.")
    if place.path.is_directory and file.kind != "directory":
        raise InvalidRequest(f"{file.path} in {place.vm} is not a directory.")


@contextlib.contextmanager
def _refusing_kernel_files(file: GuestFile, place: _Place, what: str) -> Iterator[None]:
    try:
        yield
    except GuestRefused as error:
        if error.guest_code != "kernel-files":
            raise
        program = "ls" if file.kind == "directory" else "cat"
        raise InvalidRequest(
            f"{file.path} in {place.vm} is generated by the VM's kernel and cannot be {what}.",
            hint=f"banger vm exec {place.vm} -- {program} {shlex.quote(file.path)}",
        ) from error


def _describe(path: bytes, found: guest.GuestStat) -> GuestFile:
    target = found.untrusted_target
    return GuestFile(
        path=_decode(path),
        kind=_KINDS.get(stat.S_IFMT(found.mode), "other"),
        mode=stat.S_IMODE(found.mode),
        size=found.size,
        modified_at=found.mtime_ns / 1e9,
        target=None if target is None else _decode(target),
    )


def _describe_change(top: bytes, change: guest.GuestChange) -> Document:
    path = posixpath.join(top, change.name) if change.name else top
    return {"kind": change.kind.name.lower(), "path": _decode(path)}


def _describe_entry(entry: GuestEntry) -> DirectoryEntry:
    return DirectoryEntry(
        name=_decode(entry.name),
        kind=_KINDS.get(stat.S_IFMT(entry.mode), "other"),
        mode=stat.S_IMODE(entry.mode),
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size,
        modified_at=entry.mtime_ns / 1e9,
    )


def _normal_end(path: bytes) -> bytes:
    """Return a path whose last component is a name; what is before it the guest resolves."""
    path = path.rstrip(b"/") or b"/"
    return posixpath.normpath(path) if posixpath.basename(path) in (b"", b".", b"..") else path


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
