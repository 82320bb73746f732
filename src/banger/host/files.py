"""Files that are complete or absent: private directories, atomic writes, publishing.

Hazards A7-A9: an artefact is made in a staging directory on the same file
system, flushed, and renamed into place, so a reader sees all of it or nothing. If
the process dies before the rename, only the staging directory is left, which the
daemon empties at its next start.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from banger.errors import HostFailed, HostNotReady, NoSpace

FICLONE = 0x40049409
"""ioctl(2) that shares the blocks of another file (btrfs, XFS). Python has no name for it."""


def ensure_private_dir(path: Path) -> Path:
    """Create `path` and its parents, unless they exist, with mode 0700 from birth; return `path`.

    An error names `path`, even if one of its parents could not be created.
    """
    missing = [p for p in (path, *path.parents) if not os.path.isdir(p)]
    for directory in reversed(missing):
        try:
            os.mkdir(directory, 0o700)
        except OSError as error:
            if isinstance(error, FileExistsError) and os.path.isdir(directory):
                continue  # Another process created it first.
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    return path


def write_atomic(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` with `content` in one step, durably."""
    with space_errors(path):
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "wb") as file:
                os.fchmod(fd, mode)
                file.write(content)
                file.flush()
                os.fsync(fd)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
        fsync_dir(path.parent)


@contextlib.contextmanager
def memory_file(content: bytes) -> Iterator[int]:
    """Open a file that is in memory alone, for a program that is given the descriptor."""
    with os.fdopen(os.memfd_create("banger"), "w+b") as file:
        file.write(content)
        file.seek(0)
        yield file.fileno()


@contextlib.contextmanager
def staged_dir(staging: Path, *, prefix: str) -> Iterator[Path]:
    """Create a private directory below `staging`; remove it on leaving unless published."""
    ensure_private_dir(staging)
    directory = Path(tempfile.mkdtemp(dir=staging, prefix=f"{prefix}."))
    try:
        with space_errors(directory):
            yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def publish_dir(staged: Path, target: Path) -> bool:
    """Flush a staged directory and rename it to `target`; False if `target` exists.

    The target is never replaced: an artefact that may be in use stays unchanged.

    Raises:
        HostNotReady: both are not on one file system, as where a user has linked one directory.
    """
    for file in staged.rglob("*"):
        if file.is_file() and not file.is_symlink():
            fsync_file(file)
    fsync_dir(staged)
    ensure_private_dir(target.parent)
    try:
        os.rename(staged, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        if error.errno == errno.EXDEV:
            raise HostNotReady(
                f"{target.parent} is on another file system than {staged.parent}; all of banger's "
                "data must be on one.",
                hint=f"df {staged.parent} {target.parent}",
            ) from error
        raise
    fsync_dir(target.parent)
    return True


def list_own(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """Return the directories of a folder whose names match; others are not banger's."""
    try:
        found = list(os.scandir(folder))
    except FileNotFoundError:
        return []
    ours = [e for e in found if name.fullmatch(e.name) and e.is_dir()]
    return [folder / entry.name for entry in ours]


def fsync_file(path: Path) -> None:
    """Flush one file's data to its device."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_dir(path: Path) -> None:
    """Make names created or renamed in `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
REFUSALS = NO_SPACE | {
    errno.EACCES,
    errno.EAGAIN,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
    errno.EXDEV,
}
"""Errors of a host that is out of a resource, broken, forbids the call, or has a file or a link to
another file system in place of banger's directory: no bug of the caller."""


LIMITS = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""The members of `REFUSALS` that say nothing about the requested file."""


@contextlib.contextmanager
def space_errors(where: Path) -> Iterator[None]:
    """Raise NoSpace for ENOSPC and EDQUOT; let every other error pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise no_space(os.fspath(where)) from error


def name_os_error(error: OSError, *, where: Path) -> NoSpace | HostFailed:
    """Return banger's error for an OSError, naming `where` if the OSError names no file."""
    if error.errno in NO_SPACE:
        return no_space(os.fspath(where))
    name = error.filename if error.filename is not None else where
    return HostFailed(f"{name}: {error.strerror or error}.", hint="banger doctor")


def no_space(path: str) -> NoSpace:
    """Return the error for a full file system: out of blocks or out of inodes."""
    near = nearest_existing(path)
    lacks_inodes = _lacks_inodes(near)
    what = "has no inodes left" if lacks_inodes else "is full"
    mounted = _find_mount(near)
    return NoSpace(
        f"The file system of {path} (mounted on {mounted}) {what}.",
        hint=f"df -{'i' if lacks_inodes else 'h'} {near}",
        details="These can be deleted: images and templates that nothing uses (banger image prune,"
        f" banger template prune), and downloads in {_cache()}/banger.",
    )


def nearest_existing(path: str) -> str:
    """Return `path`, or the nearest parent that exists and is visible."""
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _cache() -> str:
    return os.environ.get("XDG_CACHE_HOME") or "~/.cache"


def is_full(directory: Path) -> bool:
    """Tell whether a file system has no space or no inodes for another file."""
    return os.statvfs(directory).f_bavail == 0 or _lacks_inodes(os.fspath(directory))


def _lacks_inodes(path: str) -> bool:
    found = os.statvfs(path)
    return found.f_files > 0 and found.f_favail == 0


def _find_mount(path: str) -> str:
    path = os.path.realpath(path)
    while not os.path.ismount(path) and path != "/":
        path = os.path.dirname(path)
    return path


def clone_file(source: Path, target: Path) -> None:
    """Copy `source` to `target` (new, mode 0600): share its blocks, or else copy only its data.

    Holes stay holes. The target appears complete, by rename.
    """
    partial = target.with_name(f"{target.name}.partial")
    with space_errors(target), contextlib.ExitStack() as stack:
        partial.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, reader)
        writer = os.open(partial, flags, 0o600)
        stack.callback(os.close, writer)
        try:
            fcntl.ioctl(writer, FICLONE, reader)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise
            _copy_sparse(reader, writer)
        os.rename(partial, target)


def _copy_sparse(reader: int, writer: int) -> None:
    """Copy the data between the holes."""
    size = os.fstat(reader).st_size
    os.ftruncate(writer, size)
    end = 0
    while end < size:
        try:
            start = os.lseek(reader, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(reader, start, os.SEEK_HOLE)
        _copy_range(reader, writer, start=start, end=end)


def _copy_range(reader: int, writer: int, *, start: int, end: int) -> None:
    while start < end:
        try:
            copied = os.copy_file_range(reader, writer, end - start, start, start)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                raise
            os.lseek(writer, start, os.SEEK_SET)
            copied = os.sendfile(writer, reader, start, end - start)
        if copied == 0:
            raise OSError(errno.EIO, "the file shrank while it was copied")
        start += copied
