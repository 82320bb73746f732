"""Write a result to where the user's word for a file leads: `-o FILE` of every command.

A plain file, or nothing there: written beside and renamed, so that half a result never has the
name; an existing file keeps its mode, and a symbolic link stays a link. A pipe, a terminal or
another device is written to. `-` is stdout, and so is what /dev names of an open descriptor.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from banger.errors import OperationFailed

DESCRIPTORS = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
OPEN_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,9})")


@contextlib.contextmanager
def open_output(name: str) -> Iterator[BinaryIO]:
    """Yield a file to write to; what was written is there only if the block ends well.

    Raises:
        OperationFailed: it cannot be written; names it.
    """
    try:
        with _open(name) as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OperationFailed(f"{name} cannot be written: {error.strerror or error}.") from error


def _open(name: str) -> contextlib.AbstractContextManager[BinaryIO]:
    fd = _find_descriptor(name)
    if fd is not None:
        return os.fdopen(os.dup(fd), "wb")
    try:
        found = os.stat(name)
    except FileNotFoundError:
        return _replaced(os.path.realpath(name), mode=0o666 & ~_umask())
    if not stat.S_ISREG(found.st_mode):
        return open(name, "wb")
    target = os.path.realpath(name)
    if not os.access(os.path.dirname(target), os.W_OK | os.X_OK):
        return open(target, "wb")
    return _replaced(target, mode=stat.S_IMODE(found.st_mode))


def _find_descriptor(name: str) -> int | None:
    if name in DESCRIPTORS:
        return DESCRIPTORS[name]
    match = OPEN_DESCRIPTOR.fullmatch(name)
    return int(match[1]) if match else None


@contextlib.contextmanager
def _replaced(target: str, *, mode: int) -> Iterator[BinaryIO]:
    fd, aside = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".banger-output.")
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            os.fchmod(fd, mode)
        os.replace(aside, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
