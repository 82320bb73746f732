"""Bases: the host's record of a workspace as copied into a guest, which exports compare with.

A base is a directory `state/workspaces/ID`: `manifest`, and `objects` with the objects that the
repository lacks: uncommitted contents, and the tree of the whole workspace.
A base is published by rename (hazards A8, A9), never changed, and shared by the forks
of a VM. `docs/compatibility.md` describes its format.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

import msgspec

from banger.errors import RepositoryRefused
from banger.model.entries import GuestEntry
from banger.workspace.facts import Settings
from banger.workspace.trees import (
    MODE_EXECUTABLE,
    MODE_FILE,
    MODE_SYMLINK,
    REGULAR,
    Entries,
    TreeEntry,
)

BASE_ID = re.compile(r"[0-9a-f]{32}")


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """The guest's stat(2) of a file directly after the import."""

    mode: int
    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int


class BaseFile(msgspec.Struct, frozen=True, array_like=True):
    """One imported name."""

    name: bytes
    mode: int
    """Mode as in git's trees."""
    blob: str
    """The id of the imported bytes; of a submodule, its commit."""
    seen: Seen | None = None
    """None: unknown, so an export has to read the file."""
    clean: bool = True
    """Whether the host's git saw no change since the commit."""
    host_mtime_s: int | None = None
    """Of the host's file at the last sync; None: as in `seen`."""


class Base(msgspec.Struct, frozen=True):
    """The imported workspace. `files` are sorted by name."""

    tree: str
    files: list[BaseFile]
    options: list[tuple[str, bytes]] = []
    exclude: bytes = b""
    attributes: bytes = b""
    sparse: list[bytes] = []
    """Names of the commit that the host's sparse checkout omits."""
    empty: list[bytes] = []
    """Empty directories that were put in."""
    is_plain: bool = False
    """Whether this was a directory without a repository."""
    is_other_commit: bool = False
    """Whether the files were those of another commit, not of the host's work tree (`--from`)."""
    patterns: bytes = b""
    """The patterns of what was left out, as an ignore file."""
    is_commit: bool = False
    """Whether the imported files are unknown, and this is the prepared commit instead."""
    is_marked: bool = False
    """Whether a file beside the guest's workspace has the base's id; older bangers wrote none."""

    @property
    def settings(self) -> Settings:
        """The repository's settings at the time of the import."""
        return Settings(tuple(self.options), self.exclude, self.attributes)


def entries_of(files: Iterable[BaseFile]) -> Entries:
    """Return the entries of git's tree of these files."""
    return {file.name: TreeEntry(file.mode, file.blob) for file in files}


def seen_of(entry: GuestEntry) -> Seen:
    """Return the recorded part of an entry."""
    return Seen(entry.mode, entry.size, entry.inode, entry.mtime_ns, entry.ctime_ns)


def seen_of_status(status: os.stat_result) -> Seen:
    """Return the recorded part of a status of the host's."""
    return Seen(
        status.st_mode, status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
    )


def file_mode(mode: int) -> int:
    """Return the mode in git's trees of a file with this st_mode."""
    if stat.S_ISLNK(mode):
        return MODE_SYMLINK
    return MODE_EXECUTABLE if mode & stat.S_IXUSR else MODE_FILE


def modes_that_count(base: Base) -> dict[bytes, int]:
    """Return the modes of the base if the repository does not trust those of files."""
    if dict(base.options).get("core.filemode") != b"false":
        return {}
    return {file.name: file.mode for file in base.files if file.mode in REGULAR}


def encode_base(base: Base) -> bytes:
    """Return the content of `manifest`."""
    return msgspec.msgpack.encode(base)


def load_base(bases: Path, base_id: str, *, limit_bytes: int | None = None) -> Base:
    """Return a base.

    Raises:
        RepositoryRefused: the base is gone, cannot be read, or has more than `limit_bytes`.
    """
    manifest = base_dir(bases, base_id) / "manifest"
    try:
        if limit_bytes is not None and manifest.stat().st_size > limit_bytes:
            raise RepositoryRefused("The base of this workspace is too large to be compared.")
        content = manifest.read_bytes()
        return msgspec.msgpack.decode(content, type=Base)
    except (OSError, msgspec.MsgspecError) as error:
        raise RepositoryRefused(
            f"The host no longer has the base of this workspace ({error}).",
            hint="banger vm workspace prepare VM PATH",
        ) from error


def list_bases(bases: Path) -> list[str]:
    """Return the ids of all bases."""
    try:
        return [name for name in os.listdir(bases) if BASE_ID.fullmatch(name)]
    except FileNotFoundError:
        return []


def remove_base(bases: Path, base_id: str) -> None:
    """Remove a base. A base that is only half removed is never used; the next call removes it."""
    shutil.rmtree(base_dir(bases, base_id), ignore_errors=True)


def new_base_id() -> str:
    """Return an id that no base has."""
    return secrets.token_hex(16)


def base_dir(bases: Path, base_id: str) -> Path:
    """Return the directory of a base."""
    if not BASE_ID.fullmatch(base_id):
        raise ValueError(f"{base_id!r} names no base")
    return bases / base_id
