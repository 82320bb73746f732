"""Files of a VM.

Made by `make docs` from `sdk/aio/files.py`; do not edit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from banger.sdk.archives import plan_read, plan_write, unpack_file
from banger.sdk.options import Change
from banger.sdk.sync.daemon import Daemon
from banger.sdk.sync.exchange import exchange
from banger.sdk.sync.lines import read_lines

if TYPE_CHECKING:
    from banger.api.documents import DirectoryEntry, GuestFile


class Files:
    """The files of a VM; a relative path is below where commands start."""

    def __init__(self, daemon: Daemon, vm_id: str) -> None:
        self._daemon = daemon
        self._ref = vm_id

    def read(self, path: str) -> bytes:
        """Return the content of a file, at most 64 MiB.

        Raises:
            GuestPathNotFound: there is none.
            GuestRefused: the path is no file.
        """
        output = exchange(self._daemon, "vm.copy_out", plan_read(self._ref, path))
        return unpack_file(output.stdout, path)

    def write(self, path: str, data: str | bytes, *, mode: int = 0o644) -> None:
        """Make or replace a file, whose directory is there."""
        params, archive = plan_write(self._ref, path, data, mode=mode)
        exchange(self._daemon, "vm.copy_in", params, archive)

    def list(self, path: str = ".") -> list[DirectoryEntry]:
        """Return what is in a directory, by name.

        Raises:
            GuestPathNotFound: there is none.
        """
        return self._daemon.call("vm.list_directory", {"ref": self._ref, "path": path})

    @contextlib.contextmanager
    def watch(self, path: str = ".") -> Iterator[Iterator[Change]]:
        """Watch a directory for a block: yield the changes below it since the block's beginning.

        The iterator ends when the directory itself is deleted. A change `missed` means that the
        reader was too slow, and others were lost.

        Raises:
            GuestPathNotFound: there is no such directory.
        """
        params = {"ref": self._ref, "path": path}
        with self._daemon.open("vm.watch_files", params) as stream:
            yield read_lines(stream)

    def stat(self, path: str, *, follow: bool = False) -> GuestFile:
        """Return what is at a path; with `follow` where a link leads.

        Raises:
            GuestPathNotFound: nothing is.
        """
        return self._daemon.call("vm.stat_file", {"ref": self._ref, "path": path, "follow": follow})
