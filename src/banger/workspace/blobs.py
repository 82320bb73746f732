"""Contents as git's blobs: their ids, and a pack of blobs that is written as a stream.

A pack needs neither git nor a file for each content, and git can look up blobs in it.
Writes only into the given file.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import tempfile
import zlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from banger.errors import ToolFailed
from banger.workspace.git import GIT_DEADLINE_S, shadow_git, shadow_program
from banger.workspace.worktree import WorkTree, is_sendable

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOB = 3
_COPY_BYTES = 1024 * 1024


def blob_hash(object_format: str, size: int) -> _Hash:
    """Return a hash object which, updated with `size` bytes of content, gives the blob's id."""
    return hashlib.new(object_format, b"blob %d\0" % size, usedforsecurity=False)


class BlobPack:
    """Writes a pack of blobs. `level` is zlib's: 0 for a short-lived pack."""

    def __init__(self, file: BinaryIO, object_format: str, *, level: int) -> None:
        self.count = 0
        self._file = file
        self._format = object_format
        self._level = level
        self._write_header()

    def begin(self, size: int) -> None:
        """Start a blob of exactly `size` bytes."""
        self._hash = blob_hash(self._format, size)
        self._deflate = zlib.compressobj(self._level)
        self._file.write(_entry_header(size))

    def write(self, chunk: bytes) -> None:
        """Append to the blob."""
        self._hash.update(chunk)
        self._file.write(self._deflate.compress(chunk))

    def end(self) -> str:
        """Finish the blob; return its id."""
        self._file.write(self._deflate.flush())
        self.count += 1
        return self._hash.hexdigest()

    def finish(self) -> None:
        """Write the number of blobs into the header, and the checksum after the last blob."""
        self._file.seek(0)
        self._write_header()
        self._file.seek(0)
        checksum = hashlib.new(self._format, usedforsecurity=False)
        while chunk := self._file.read(_COPY_BYTES):
            checksum.update(chunk)
        self._file.seek(0, os.SEEK_END)
        self._file.write(checksum.digest())
        self._file.flush()

    def _write_header(self) -> None:
        self._file.write(b"PACK" + (2).to_bytes(4, "big") + self.count.to_bytes(4, "big"))


def add_file(pack: BlobPack, tree: WorkTree, name: bytes) -> str:
    """Add the present content of a file or link; return its blob, or "" if there is none."""
    try:
        status = tree.status(name)
        if status is None or not is_sendable(status):
            return ""
        if stat.S_ISLNK(status.st_mode):
            return _add_all(pack, tree.read_link(name))
        fd = tree.open(name)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as file:
        left = os.fstat(fd).st_size
        pack.begin(left)
        while left:
            # A file that becomes shorter gets zeros, so its content is another one.
            chunk = file.read(min(left, _COPY_BYTES)) or bytes(min(left, _COPY_BYTES))
            left -= len(chunk)
            pack.write(chunk)
    return pack.end()


def _add_all(pack: BlobPack, content: bytes) -> str:
    pack.begin(len(content))
    pack.write(content)
    return pack.end()


async def index_blobs(git_dir: Path, pack: Path) -> None:
    """Index a finished pack, which is in the `objects/pack` of a private git directory."""
    await shadow_git(git_dir, pack.parent, "index-pack", str(pack))


async def read_blobs(
    git_dir: Path, blobs: Sequence[str], *, scratch: Path
) -> AsyncGenerator[AsyncGenerator[bytes, None], None]:
    """Yield the content of each blob, in chunks. Read each content to its end before the next."""
    with tempfile.TemporaryFile(dir=scratch) as names:
        names.write("".join(f"{blob}\n" for blob in blobs).encode())
        names.seek(0)
        async with shadow_program(git_dir, "cat-file", "--batch", stdin=names) as process:
            assert process.stdout
            for blob in blobs:
                async with asyncio.timeout(GIT_DEADLINE_S):
                    header = await process.stdout.readline()
                kind = header.split()[1:]
                if len(kind) != 2 or kind[0] != b"blob":
                    raise ToolFailed(f"git cat-file: {blob} is not there.")
                yield _content(process.stdout, int(kind[1]))


async def _content(output: asyncio.StreamReader, size: int) -> AsyncGenerator[bytes, None]:
    left = size + 1  # a newline follows
    while left:
        async with asyncio.timeout(GIT_DEADLINE_S):
            chunk = await output.read(min(left, _COPY_BYTES))
        if not chunk:
            raise ToolFailed("git cat-file ended early.")
        left -= len(chunk)
        yield chunk if left else chunk[:-1]


def _entry_header(size: int) -> bytes:
    """Encode type and size as in a pack: 4 bits of the size, then 7 in each further byte."""
    header = bytearray()
    byte, size = _BLOB << 4 | size & 15, size >> 4
    while size:
        header.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    header.append(byte)
    return bytes(header)
