"""Write a result to the file of `-o FILE`, for every command.

A regular or new file is written under a temporary name and renamed, so that a partial result never
has the final name; an existing file keeps its mode, and a symbolic link stays a link. A pipe, a
terminal or another device is written directly. `-` is stdout; /dev/stdout and /dev/fd/N are the
open descriptors.
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
    """Yield a file to write to; commit the content only if the block succeeds.

    Raises:
        OperationFailed: the file, which the message names, cannot be written.
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
