"""The blob cache: downloaded content under its digest (layout: `blobs`), and broken-off beginnings.

    blobs/sha256/HEX    verified while it was written, and again each time it is used anew (F3)
    blobs/partial/HEX   the beginning of a download, to go on from

A blob appears by rename, after its size and digest have been found right. It is not flushed to the
device: what a crash of the host leaves of it does not pass the next verification. If the process
dies, a partial one is left, which the next pull goes on from or removes.

Callers hold lock L4 with a blob's digest, so that it is downloaded once. L4 lets go of work that
it cancels before that has ended; so a writer locks the partial file as well, and the next one
waits for it. `trim_blobs` is for times when no pull runs. What reads or writes is for threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from banger.artifacts.store import hash_file
from banger.errors import ImageInvalid, NoSpace
from banger.host.files import ensure_private_dir, space_errors
from banger.images.content import Descriptor
from banger.layout import Layout

KEPT_BYTES_MAX = 10 * 2**30
PARTIAL_AGE_MAX_S = 7 * 24 * 3600.0
READ_BYTES = 1024 * 1024


def find_blob(layout: Layout, wanted: Descriptor) -> Path | None:
    """Return the file of a blob that is here and whole; one that is not is removed."""
    path = layout.blob(wanted.hex)
    try:
        is_right = path.stat().st_size == wanted.size and hash_file(path) == wanted.hex
    except FileNotFoundError:
        return None
    if not is_right:
        path.unlink(missing_ok=True)
        return None
    os.utime(path)
    return path


class PartialBlob:
    """A blob while it is being written. Only `open_partial` makes one."""

    def __init__(self, layout: Layout, wanted: Descriptor, fd: int) -> None:
        self._layout = layout
        self._wanted = wanted
        self._fd = fd
        self._hash = hashlib.sha256()
        self.size = 0
        """How many bytes are there."""

    def take_up(self) -> None:
        """Go on from what an earlier download has left."""
        while part := os.read(self._fd, READ_BYTES):
            self._hash.update(part)
            self.size += len(part)
        if self.size > self._wanted.size:
            self.restart()

    def restart(self) -> None:
        """Drop what is there."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, untrusted: bytes) -> None:
        """Append.

        Raises:
            ImageInvalid: it becomes longer than it should be.
            NoSpace: the file system is full.
        """
        if self.size + len(untrusted) > self._wanted.size:
            self.restart()
            raise too_long(self._wanted)
        try:
            with space_errors(self._layout.blobs):
                view = memoryview(untrusted)
                while view:
                    view = view[os.write(self._fd, view) :]
        except NoSpace:
            self.restart()  # room for others (A10)
            raise
        self._hash.update(untrusted)
        self.size += len(untrusted)

    def publish(self) -> Path:
        """Verify the whole and give it its name.

        Raises:
            ImageInvalid: it is not what its digest says; nothing of it is kept.
        """
        if self.size != self._wanted.size or self._hash.hexdigest() != self._wanted.hex:
            self.restart()
            raise ImageInvalid(
                f"The downloaded blob {self._wanted.digest} does not match its digest."
            )
        target = self._layout.blob(self._wanted.hex)
        ensure_private_dir(target.parent)
        os.rename(self._layout.partial_blobs / self._wanted.hex, target)
        return target


def too_long(wanted: Descriptor) -> ImageInvalid:
    """Return the error for a blob that does not end where its manifest says."""
    return ImageInvalid(
        f"The blob {wanted.digest} is longer than the {wanted.size} bytes of its manifest."
    )


@contextlib.asynccontextmanager
async def open_partial(layout: Layout, wanted: Descriptor) -> AsyncIterator[PartialBlob]:
    """Hold the beginning of a blob; what is left unpublished, if anything, is for another time."""
    path = layout.partial_blobs / wanted.hex
    fd = await _lock_in_thread(path)
    try:
        partial = PartialBlob(layout, wanted, fd)
        await asyncio.to_thread(partial.take_up)
        yield partial
    finally:
        # Unlinked under its lock, so by its name no other writer's file.
        if os.fstat(fd).st_size == 0:
            path.unlink(missing_ok=True)
        os.close(fd)


async def _lock_in_thread(path: Path) -> int:
    """As `_lock`; a writer that was cancelled may need a moment to let go."""
    future = asyncio.get_running_loop().run_in_executor(None, _lock, path)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(lambda done: os.close(done.result()))
        raise


def _lock(path: Path) -> int:
    """Open a file for writing that nobody else writes to, and that has this name."""
    ensure_private_dir(path.parent)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        os.close(fd)


def trim_blobs(
    layout: Layout, *, now: float, keep_bytes: int = KEPT_BYTES_MAX, dry_run: bool = False
) -> int:
    """Remove old partial blobs, then the least recently used; return the bytes freed.

    With `dry_run` nothing is removed, and the bytes are those that would be.
    """
    freed = 0
    partial = _by_age(layout.partial_blobs)
    blobs = _by_age(layout.blobs / "sha256")
    kept = sum(size for _, size, _ in (*partial, *blobs))
    for used_at, size, path in (*partial, *blobs):
        is_stale = path.parent == layout.partial_blobs and now - used_at > PARTIAL_AGE_MAX_S
        if kept > keep_bytes or is_stale:
            if not dry_run:
                path.unlink(missing_ok=True)
            kept -= size
            freed += size
    return freed


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _by_age(folder: Path) -> list[tuple[float, int, Path]]:
    """Return (last use, size, path) of the files in a folder, the oldest first."""
    if not folder.is_dir():
        return []
    stats = [(path.stat(), path) for path in folder.iterdir() if _is_file(path)]
    return sorted((stat.st_mtime, stat.st_size, path) for stat, path in stats)
