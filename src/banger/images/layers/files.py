"""The files of an archive or a layout, looked up by the names that the image gives them.

A name never leaves the archive: in a tar only the index of entries is searched, and in a directory
the name has been parsed first (F1).
"""

from __future__ import annotations

import os
import stat
from typing import Protocol

from banger.errors import ImageInvalid, ImageUnsupported
from banger.images.content import ImageConfig, parse_config
from banger.images.layers.entries import LINK, Entry
from banger.images.layers.index import read_entries
from banger.images.layers.limits import Budget
from banger.images.layers.unpacking import Blob, TarStream
from banger.images.layers.work import open_blob
from banger.images.platforms import host_platform, is_for
from banger.tar.format import shown
from banger.tar.header import Malformed
from banger.tar.read import parse_path

LINKS_MAX = 4


class Files(Protocol):
    """The files of an archive or a layout."""

    def find(self, name: str) -> Blob | None:
        """Return a file."""


class TarFiles:
    """The files of a tar that is not packed."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._entries = {e.path: e for e in read_entries(TarStream(blob), Budget())}

    def find(self, name: str) -> Blob | None:
        """Return a file; links inside the tar are followed."""
        entry = self._entries.get(_parse_name(name))
        for _ in range(LINKS_MAX):
            # Older `docker save` wrote a layer once, and links to it.
            if entry is None or entry.kind not in (stat.S_IFLNK, LINK):
                break
            entry = self._entries.get(_link_target(entry))
        if entry is None or entry.kind != stat.S_IFREG:
            return None
        return Blob(self._blob.fd, self._blob.offset + entry.offset, entry.size)


class DirectoryFiles:
    """The files of a directory."""

    def __init__(self, top: str) -> None:
        self._top = top

    def find(self, name: str) -> Blob | None:
        """Return a file."""
        path = os.path.join(self._top, os.fsdecode(_parse_name(name)))
        return open_blob(path) if os.path.lexists(path) else None


def get_file(files: Files, name: str) -> Blob:
    """Return a file that the image names.

    Raises:
        ImageInvalid: the archive lacks it.
    """
    blob = files.find(name)
    if blob is None:
        raise ImageInvalid(f"The image refers to {shown(name.encode())}, which is missing.")
    return blob


def read_whole(blob: Blob, limit: int, name: str) -> bytes:
    """Return the content of a small file.

    Raises:
        ImageInvalid: the file is larger than `limit`.
    """
    if blob.size > limit:
        raise ImageInvalid(f"{shown(name.encode())} is larger than {limit // 2**20} MiB.")
    return os.pread(blob.fd, blob.size, blob.offset)


def parse_host_config(untrusted: bytes) -> ImageConfig:
    """Return the configuration of an image that can run on this host.

    Raises:
        ImageInvalid: the configuration breaks its format.
        ImageUnsupported: the image is for another platform.
    """
    config = parse_config(untrusted)
    if not is_for(config.platform, host_platform()):
        raise ImageUnsupported(f"The image is for {config.platform}, not for {host_platform()}.")
    return config


def _parse_name(untrusted: str) -> bytes:
    try:
        return parse_path(untrusted.encode("utf-8", "surrogateescape"))
    except Malformed as error:
        raise ImageInvalid(f"A layer {error}.") from error


def _link_target(entry: Entry) -> bytes:
    if entry.kind == LINK:
        return entry.link
    return os.path.normpath(os.path.join(os.path.dirname(entry.path), entry.link))
