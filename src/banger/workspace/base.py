"""What was put into a guest, kept on the host: what an export is compared with.

A base is a directory `state/workspaces/ID`: `manifest`, and `objects` with what the repository
itself does not have: contents that are not committed, and the tree of everything that was put in.
It is published whole, by rename (hazards A8, A9), never changed, and shared by the forks
of a VM. `docs/compatibility.md` has its format.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from pathlib import Path

import msgspec

from banger.errors import RepositoryRefused
from banger.model.entries import GuestEntry
from banger.workspace.facts import Settings

MODE_FILE, MODE_EXECUTABLE, MODE_SYMLINK, MODE_GITLINK = 0o100644, 0o100755, 0o120000, 0o160000
BASE_ID = re.compile(r"[0-9a-f]{32}")


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """What stat(2) in the guest said of a file right after it was put in."""

    mode: int
    size: int
    inode: int
    mtime_ns: int
    ctime_ns: int


class BaseFile(msgspec.Struct, frozen=True, array_like=True):
    """One name that was put in."""

    name: bytes
    mode: int
    """As in git's trees."""
    blob: str
    """The id of the bytes as they were put in; of a submodule, its commit."""
    seen: Seen | None = None
    """None: not known, so the file has to be read."""
    clean: bool = True
    """The host's git saw no change since the commit."""


class Base(msgspec.Struct, frozen=True):
    """What was put in. `files` are sorted by name."""

    tree: str
    files: list[BaseFile]
    options: list[tuple[str, bytes]] = []
    exclude: bytes = b""
    attributes: bytes = b""
    sparse: list[bytes] = []
    """Names of the commit that a sparse checkout of the host does not have."""
    is_commit: bool = False
    """What was put in is not known: this is the prepared commit."""

    @property
    def settings(self) -> Settings:
        """The repository's settings, as they were when it was put in."""
        return Settings(tuple(self.options), self.exclude, self.attributes)


def seen_of(entry: GuestEntry) -> Seen:
    """Return what is remembered of an entry."""
    return Seen(entry.mode, entry.size, entry.inode, entry.mtime_ns, entry.ctime_ns)


def file_mode(mode: int) -> int:
    """Return the mode that a file of this st_mode has in git's trees."""
    if stat.S_ISLNK(mode):
        return MODE_SYMLINK
    return MODE_EXECUTABLE if mode & stat.S_IXUSR else MODE_FILE


def encode_base(base: Base) -> bytes:
    """Return the content of `manifest`."""
    return msgspec.msgpack.encode(base)


def load_base(bases: Path, base_id: str) -> Base:
    """Return a base.

    Raises:
        RepositoryRefused: it is gone, or cannot be read.
    """
    try:
        content = (base_dir(bases, base_id) / "manifest").read_bytes()
        return msgspec.msgpack.decode(content, type=Base)
    except (OSError, msgspec.MsgspecError) as error:
        raise RepositoryRefused(
            f"What was put into the guest is no longer known on the host ({error}).",
            hint="banger vm workspace prepare VM PATH",
        ) from error


def list_bases(bases: Path) -> list[str]:
    """Return the ids of all bases."""
    try:
        return [name for name in os.listdir(bases) if BASE_ID.fullmatch(name)]
    except FileNotFoundError:
        return []


def remove_base(bases: Path, base_id: str) -> None:
    """Remove a base. One that is half removed is removed by the next call, or never used."""
    shutil.rmtree(base_dir(bases, base_id), ignore_errors=True)


def base_dir(bases: Path, base_id: str) -> Path:
    """Return the directory of a base."""
    if not BASE_ID.fullmatch(base_id):
        raise ValueError(f"{base_id!r} names no base")
    return bases / base_id
