"""A file or a tree of this host as a tar stream.

No link is followed below the top: a name that becomes a link while the tree is read is sent as
that link. Modes, times to the nanosecond, symbolic and hard links are kept. Devices, pipes and
sockets are left out, and counted; so is what is gone when its turn comes. Holes are sent as zeros.

Read-only. Two descriptors are open at a time, however deep the tree.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Generator, Iterator

from banger.errors import OperationFailed
from banger.tar.beneath import Beneath
from banger.tar.format import DIRECTORY, END_OF_TAR, FILE, HARD_LINK, SYMLINK
from banger.tar.leftout import LeftOut
from banger.tar.write import FileShrank, content_chunks, gathered, header, pax_header

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TIME_S_MAX = 8**11 - 1


class Packing:
    """One file or tree on its way into a stream. Files come without their first `offset` bytes."""

    def __init__(self, *, keep_owners: bool, offset: int = 0) -> None:
        self.left_out = LeftOut()
        self._offset = offset
        self._keep_owners = keep_owners
        self._names: dict[tuple[int, int], bytes] = {}
        """The first name of each file with several."""

    def chunks(self, path: bytes, name: bytes | None) -> Generator[bytes, None, None]:
        """Yield the archive of the file or tree at `path`, which is called `name` in it.

        Without a name it is the content of the directory at `path`. A link at `path` is followed
        if the path ends with a slash, or there is no name.

        Raises:
            OperationFailed: a file cannot be read; the message names it.
        """
        with _readable(path):
            yield from gathered(self._whole(path, name))

    def _whole(self, path: bytes, name: bytes | None) -> Generator[bytes, None, None]:
        if name is None:
            yield from self._tree(path, b"")
        else:
            above, _, base = path.rstrip(b"/").rpartition(b"/")
            status = os.stat(path, follow_symlinks=path.endswith(b"/"))
            if stat.S_ISDIR(status.st_mode):
                yield from self._tree(path, name)
            else:
                parent = os.open(
                    above or (b"/" if path[:1] == b"/" else b"."), os.O_PATH | os.O_CLOEXEC
                )
                try:
                    with _naming(path):
                        yield from self._entry(parent, base, name, status)
                finally:
                    os.close(parent)
        yield END_OF_TAR

    def _tree(self, path: bytes, name: bytes) -> Iterator[bytes]:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        walk = Beneath(top)
        waiting = [b""]
        try:
            while waiting:
                directory = waiting.pop()
                place = os.path.join(path[:-1] if path.endswith(b"/.") else path, directory)
                with contextlib.suppress(FileNotFoundError):
                    with _naming(place):
                        fd = walk.enter(directory, make=False)
                    with _naming(place, below=True):
                        yield from self._directory(fd, _join(name, directory), directory, waiting)
        finally:
            walk.close()
            os.close(top)

    def _directory(
        self, fd: int, name: bytes, place: bytes, waiting: list[bytes]
    ) -> Iterator[bytes]:
        """Yield a directory and what is in it; put those below it into `waiting`."""
        if name:
            yield self._header(name + b"/", DIRECTORY, os.fstat(fd))
        below = []
        for base in sorted(map(os.fsencode, os.listdir(fd))):
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(base, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    below.append(_join(place, base))
                else:
                    yield from self._entry(fd, base, _join(name, base), status)
        waiting.extend(reversed(below))

    def _entry(
        self, parent: int, base: bytes, name: bytes, status: os.stat_result
    ) -> Iterator[bytes]:
        """Yield what is no directory."""
        if stat.S_ISREG(status.st_mode):
            yield from self._file(parent, base, name)
        elif stat.S_ISLNK(status.st_mode):
            target = os.readlink(base, dir_fd=parent)
            yield self._header(name, SYMLINK, status, link=target)
        else:
            self.left_out.add(name, _kind(status.st_mode))

    def _file(self, parent: int, base: bytes, name: bytes) -> Iterator[bytes]:
        fd = os.open(base, _FILE, dir_fd=parent)
        try:
            status = os.fstat(fd)
            first = name
            if status.st_nlink > 1:
                first = self._names.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                yield self._header(name, HARD_LINK, status, link=first)
                return
            if os.lseek(fd, self._offset, os.SEEK_SET) > status.st_size:
                raise FileShrank(name)
            yield self._header(name, FILE, status)
            yield from content_chunks(name, fd, status.st_size - self._offset)
        finally:
            os.close(fd)

    def _header(
        self, name: bytes, kind: bytes, status: os.stat_result, *, link: bytes = b""
    ) -> bytes:
        seconds, fraction_ns = divmod(status.st_mtime_ns, 10**9)
        extra = b""
        if fraction_ns or not 0 <= seconds <= _TIME_S_MAX:
            extra = pax_header([(b"mtime", _format_time(status.st_mtime_ns))])
        return extra + header(
            name,
            kind,
            mode=stat.S_IMODE(status.st_mode),
            size=status.st_size - self._offset if kind == FILE else 0,
            mtime_s=seconds,
            link=link,
            owner=(status.st_uid, status.st_gid) if self._keep_owners else (0, 0),
        )


def measure(path: bytes) -> int:
    """Return the bytes of all files at and below a path, as far as they can be seen."""
    status = os.stat(path, follow_symlinks=path.endswith((b"/", b"/.")))
    total = status.st_size if stat.S_ISREG(status.st_mode) else 0
    if stat.S_ISDIR(status.st_mode):
        for _, _, files, fd in os.fwalk(path):
            for name in files:
                with contextlib.suppress(OSError):
                    found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


@contextlib.contextmanager
def _readable(path: bytes) -> Iterator[None]:
    """Turn the host's refusal into an error that names the file."""
    try:
        yield
    except FileShrank as error:
        raise OperationFailed(f"{os.fsdecode(error.name)} shrank while it was read.") from error
    except OSError as error:
        place = os.fsdecode(error.filename or path)
        raise OperationFailed(f"{place} cannot be read: {error.strerror}.") from error


@contextlib.contextmanager
def _naming(place: bytes, *, below: bool = False) -> Iterator[None]:
    """Give errors of the host the whole path: `place`, or that of the file below that they name.

    The host gives names as they were asked for, relative to a directory's descriptor.
    """
    try:
        yield
    except OSError as error:
        name = error.filename if below and isinstance(error.filename, bytes) else b""
        error.filename = os.path.join(place, name) if name else place
        raise


def _kind(mode: int) -> str:
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device"


def _format_time(mtime_ns: int) -> bytes:
    """Return a pax time: before the epoch, the sign counts for seconds and fraction."""
    seconds, fraction_ns = divmod(abs(mtime_ns), 10**9)
    return b"%s%d.%09d" % (b"-" if mtime_ns < 0 else b"", seconds, fraction_ns)


def _join(above: bytes, name: bytes) -> bytes:
    return b"/".join(part for part in (above, name) if part)
