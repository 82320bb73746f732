"""The part of a file that an interrupted copy keeps, and that the next copy continues.

It lies beside the file that it shall become, also in a guest, where the agent names it by the same
rule (docs/guest-protocol.md, TAR_IN). A part counts only if it is how the file begins: both sides
compare digests of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat

from banger.errors import Conflict
from banger.tar.format import shown

DIGEST_BYTES = 32
NAME_BYTES = 230
"""Of the file's name, so that the part's is not too long."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE_BYTES = 1024 * 1024


def part_name(name: bytes) -> bytes:
    """Return what the part of a file of this name is called."""
    return b"." + name[:NAME_BYTES] + b".banger-part"


def part_size(name: bytes, *, within: int, top: int) -> int:
    """Return the size of the part of a file in an open directory; 0 if there is none to go on with.

    `within`: the size of the whole.
    """
    try:
        status = os.stat(part_name(name), dir_fd=top, follow_symlinks=False)
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) and status.st_size <= within else 0


def lock_part(fd: int, part: bytes, *, top: int) -> None:
    """Lock an open part of a file in an open directory, until it is closed.

    A file system without locks is written to without one.

    Raises:
        Conflict: another copy has it locked, or has given it its name.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.path.samestat(os.fstat(fd), os.stat(part, dir_fd=top, follow_symlinks=False))
    except (BlockingIOError, FileNotFoundError):
        is_ours = False
    except OSError:
        return
    if not is_ours:
        raise Conflict(f"Another copy writes to {shown(part)}.", retryable=True)


def digest_of(path: bytes, size: int, *, top: int | None = None) -> str | None:
    """Return the digest of the first bytes of a file, in hexadecimal; None if it is shorter."""
    found = hashlib.blake2b(digest_size=DIGEST_BYTES)
    fd = os.open(path, _READ, dir_fd=top)
    try:
        while size:
            piece = os.read(fd, min(size, _PIECE_BYTES))
            if not piece:
                return None
            found.update(piece)
            size -= len(piece)
    finally:
        os.close(fd)
    return found.hexdigest()
