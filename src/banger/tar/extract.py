"""A tar stream from a guest to files beneath one directory of the host (hazard E3).

Nothing outside the directory is made, changed or read, whatever the stream says:

- A name is walked from the top's descriptor, one directory at a time, each opened with
  O_NOFOLLOW: a link on the way is refused, whether the stream made it or it was there. This gives
  what openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS would, on every kernel (ADR 0059).
- A file or link is made under a random temporary name and renamed, so nothing is written through
  what was there, and nothing unfinished has a real name. A directory is never replaced, and
  nothing but a directory becomes one.
- A symbolic link is only text, wherever it leads, as docker cp and rsync have it; no later
  entry passes through it.
- A hard link is made only to a file that this extraction made.
- Devices, pipes and sockets are left out, and counted, as is what the agent says is its kernel's.
- Modes are set without setuid, setgid and sticky bits; a new directory keeps the setgid bit that
  its parent gives it. Owners and extended attributes are ignored.
- Blocks of zeros become holes: a sparse file takes the space of its data.

Locks the one file that is unfinished; other state is the open top and the last directory's
descriptor.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator

from banger.errors import CopyRefused, NoSpace, OperationFailed
from banger.tar.beneath import Beneath
from banger.tar.format import (
    BLOCK,
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    FILE,
    HARD_LINK,
    PATH_BYTES_MAX,
    SYMLINK,
    shown,
)
from banger.tar.header import Header, Malformed, Records
from banger.tar.left import new_temporary_name, open_temporary, remove_left
from banger.tar.leftout import LeftOut
from banger.tar.parts import lock_part, part_name
from banger.tar.read import ChunkSource, next_header, parse_path

ENTRIES_MAX = 2_000_000
DIRECTORIES_MAX = 200_000
DIRECTORY_BYTES_MAX = 64 * 1024 * 1024
"""Of all names of directories; they are remembered until the end."""
TAIL_BYTES_MAX = 1024 * 1024
"""Of what may follow the end mark."""
TIME_S_MAX = 2**40
LEFT_OUT = {CHARACTER: "a device", BLOCK_DEVICE: "a device", FIFO: "a pipe"}
KERNEL_COMMENT = b"file system of the kernel"
"""Record of an entry that the agent has left empty because the guest's kernel makes its content."""

_MAKE_PART = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ZEROS = bytes(64 * 1024)


class Renamed:
    """The one file or tree that is expected: `name` in the stream, `target` beneath the top.

    `kind` is what the guest has said that it is: FILE, DIRECTORY or SYMLINK. Another kind is
    refused, so that nobody gets a link where a file was announced.
    """

    __slots__ = ("kind", "name", "target")

    def __init__(self, name: bytes, target: bytes, kind: bytes) -> None:
        self.name = name
        self.target = target
        self.kind = kind

    def apply(self, path: bytes) -> bytes:
        """Return where an entry goes.

        Raises:
            Malformed: the entry is neither that file nor in that tree.
        """
        first, slash, rest = path.partition(b"/")
        if first != self.name:
            raise Malformed(f"has {shown(path)}, which was not requested")
        return self.target + slash + rest


class Extraction:
    """One stream on its way to files. Use `extract`."""

    def __init__(
        self,
        top: int,
        *,
        renamed: Renamed | None,
        on_bytes: Callable[[int], None],
        part_offset: int | None = None,
    ) -> None:
        self.entries = 0
        self.left_out = LeftOut()
        self._top = top
        self._renamed = renamed
        self._on_bytes = on_bytes
        self._part_offset = part_offset
        self._walk = Beneath(top)
        self._temporary = new_temporary_name()
        self._made: set[tuple[int, int]] = set()
        self._late: dict[bytes, tuple[int, int]] = {}
        self._late_bytes = 0

    def run(self, source: ChunkSource) -> None:
        """Extract every entry, then give directories their modes and times."""
        remove_left(self._top)
        try:
            while (found := next_header(source)) is not None:
                self._entry(*found, source)
            if sum(map(len, source.pieces(TAIL_BYTES_MAX + 1))) > TAIL_BYTES_MAX:
                raise Malformed("continues after its end mark")
        finally:
            self._finish_directories()
            self._walk.close()

    def _entry(self, header: Header, records: Records, source: ChunkSource) -> None:
        self.entries += 1
        if self.entries > ENTRIES_MAX:
            raise Malformed(f"has more than {ENTRIES_MAX} files")
        path = self._place(header.name)
        if self._renamed and path == self._renamed.target and header.kind != self._renamed.kind:
            raise Malformed(f"has {shown(path)} as a different file type than announced")
        if records.get(b"comment") == KERNEL_COMMENT:
            self.left_out.add(path, "a file system of the VM's kernel")
        with _named(path):
            if header.kind == DIRECTORY or (header.kind == FILE and header.name.endswith(b"/")):
                self._directory(header, path)
            elif not path:
                raise Malformed("has a file without a name")
            elif header.kind == FILE:
                self._file(header, path, source)
            elif header.kind == SYMLINK:
                self._symlink(header, path)
            elif header.kind == HARD_LINK:
                self._hard_link(header, path)
            elif header.kind in LEFT_OUT:
                self.left_out.add(path, LEFT_OUT[header.kind])
            else:
                raise Malformed(f"has {shown(path)} of the unsupported type {shown(header.kind)}")

    def _place(self, untrusted_name: bytes) -> bytes:
        path = parse_path(untrusted_name)
        return path if self._renamed is None else self._renamed.apply(path)

    # --- directories -----------------------------------------------------------------

    def _directory(self, header: Header, path: bytes) -> None:
        fd = self._walk.enter(path)
        if not path:
            return  # the target itself keeps what it has
        with contextlib.suppress(PermissionError):  # somebody else's, which we may write to
            os.fchmod(fd, (os.fstat(fd).st_mode & 0o2000) | (header.mode & 0o777) | 0o700)
        if path not in self._late:
            remove_left(fd)
            self._late_bytes += len(path)
        self._late[path] = (header.mode & 0o777, _mtime_ns(header))
        if len(self._late) > DIRECTORIES_MAX or self._late_bytes > DIRECTORY_BYTES_MAX:
            raise Malformed(f"has more than {DIRECTORIES_MAX} directories, or too long names")

    def _finish_directories(self) -> None:
        """Set modes and times, the inner directories first; whatever cannot be set is left."""
        for path in sorted(self._late, reverse=True):
            mode, mtime_ns = self._late[path]
            with contextlib.suppress(OSError, CopyRefused):
                fd = self._walk.enter(path, make=False)
                os.utime(fd, ns=(mtime_ns, mtime_ns))
                os.fchmod(fd, (os.fstat(fd).st_mode & 0o2000) | mode)

    # --- files and links ---------------------------------------------------------------

    def _file(self, header: Header, path: bytes, source: ChunkSource) -> None:
        if header.size < 0:
            raise Malformed(f"has {shown(path)} with the invalid size {header.size}")
        parent, name = self._parent(path)
        with self._file_aside(parent, name) as fd:
            try:
                self._write(fd, header.size, source)
                os.fchmod(fd, header.mode & 0o777)
                os.utime(fd, ns=(_mtime_ns(header), _mtime_ns(header)))
                status = os.fstat(fd)
                self._made.add((status.st_dev, status.st_ino))
            finally:
                os.close(fd)
        source.skip(-header.size % BLOCK)

    def _write(self, fd: int, size: int, source: ChunkSource) -> None:
        left = size
        for piece in source.pieces(size):
            _write_sparse(fd, piece)
            left -= len(piece)
            self._on_bytes(len(piece))
        if left:
            raise Malformed("ends in the middle of a file")
        os.ftruncate(fd, (self._part_offset or 0) + size)

    @contextlib.contextmanager
    def _file_aside(self, parent: int, name: bytes) -> Iterator[int]:
        """Yield a file under another name, to be closed; then give it its real one.

        It is locked until then. A part of it is kept if that was asked for.
        """
        is_part = self._part_offset is not None
        if is_part:
            fd = self._open_part(parent, name)
        else:
            self._temporary, fd = open_temporary(parent)
        held = os.dup(fd)  # keeps the lock
        try:
            if is_part:
                yield fd
                os.rename(part_name(name), name, src_dir_fd=parent, dst_dir_fd=parent)
            else:
                with self._made_aside(parent, name):
                    yield fd
        finally:
            os.close(held)

    def _open_part(self, parent: int, name: bytes) -> int:
        part = part_name(name)
        with contextlib.ExitStack() as undo:
            fd = os.open(part, _MAKE_PART, 0o600, dir_fd=parent)
            undo.callback(os.close, fd)
            lock_part(fd, part, top=parent)
            os.ftruncate(fd, self._part_offset or 0)
            os.lseek(fd, self._part_offset or 0, os.SEEK_SET)
            undo.pop_all()
        return fd

    def _symlink(self, header: Header, path: bytes) -> None:
        target = header.link
        if not 0 < len(target) <= PATH_BYTES_MAX or b"\0" in target:
            raise Malformed(f"has the symbolic link {shown(path)} with an invalid target")
        parent, name = self._parent(path)
        times = (_mtime_ns(header), _mtime_ns(header))
        with self._made_aside(parent, name) as temporary:
            os.symlink(target, temporary, dir_fd=parent)
            os.utime(temporary, ns=times, dir_fd=parent, follow_symlinks=False)

    def _hard_link(self, header: Header, path: bytes) -> None:
        target = self._place(header.link)
        above, _, other = target.rpartition(b"/")
        try:
            source = os.dup(self._walk.enter(above, make=False))
        except FileNotFoundError:
            raise Malformed(f"has the hard link {shown(path)} without a target") from None
        try:
            self._require_made(source, other, path)
            parent, name = self._parent(path)
            with self._made_aside(parent, name) as temporary:
                os.link(
                    other, temporary, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False
                )
        finally:
            os.close(source)

    def _require_made(self, parent: int, name: bytes, path: bytes) -> None:
        """Check that a hard link's target is a file of this extraction.

        Raises:
            Malformed: the target is not.
        """
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name or b".", dir_fd=parent, follow_symlinks=False)
            if (status.st_dev, status.st_ino) in self._made:
                return
        raise Malformed(f"has the hard link {shown(path)} to a file that is not in it")

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """Return the directory of a name that is no directory, and the name in it."""
        above, _, name = path.rpartition(b"/")
        parent = self._walk.enter(above)
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise CopyRefused(
                    f"{shown(path)} is a directory at the target and a file at the source."
                )
        return parent, name

    @contextlib.contextmanager
    def _made_aside(self, parent: int, name: bytes) -> Iterator[bytes]:
        """Yield a temporary name; give what was made there its real one, or remove it."""
        try:
            yield self._temporary
            os.rename(self._temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            # Also after a success: renaming a hard link over another name of its file does nothing.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary, dir_fd=parent)


def extract(
    chunks: Iterator[bytes],
    top: int,
    *,
    on_bytes: Callable[[int], None],
    renamed: Renamed | None = None,
    part_offset: int | None = None,
) -> Extraction:
    """Extract a stream beneath an open directory; return what was left out.

    With `renamed`, one file or tree is expected. `part_offset`: it is one file, without its first
    so many bytes; they are in its part (`parts.py`), which stays if the stream breaks off.
    `on_bytes` gets the size of each written part. On failure the files that were completed stay.

    Raises:
        CopyRefused: the stream is malformed, or what is in the target is in the way.
        NoSpace, OperationFailed: the host cannot write a file; the message names it.
    """
    extraction = Extraction(top, renamed=renamed, on_bytes=on_bytes, part_offset=part_offset)
    try:
        extraction.run(ChunkSource(chunks))
    except Malformed as error:
        raise CopyRefused(f"What the guest sent {error}.") from error
    return extraction


@contextlib.contextmanager
def _named(path: bytes) -> Iterator[None]:
    """Turn the host's refusal into an error that names the file."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else OperationFailed
        raise kind(f"{shown(path)} cannot be written: {error.strerror}.") from error


def _write_sparse(fd: int, piece: memoryview) -> None:
    """Write a piece, but pass over what is zero: the file was empty, so that is a hole."""
    for start in range(0, len(piece), len(_ZEROS)):
        part = piece[start : start + len(_ZEROS)]
        if not part[0] and not part[-1] and bytes(part) == _ZEROS[: len(part)]:
            os.lseek(fd, len(part), os.SEEK_CUR)
            continue
        while part:
            part = part[os.write(fd, part) :]


def _mtime_ns(header: Header) -> int:
    seconds = min(max(header.mtime, -TIME_S_MAX), TIME_S_MAX)
    return seconds * 10**9 + header.mtime_fraction_ns
