"""The hash of a VMM's program, by which its saved machines are distinguished (hazard D5)."""

from __future__ import annotations

import hashlib
import os

from banger.errors import HostNotReady


class ProgramHash:
    """The hash of a program's file, read again only when the file is another one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._digest = ""

    def read(self) -> str:
        """Return the file's sha256 in hex.

        Raises:
            HostNotReady: it is not there any more.
        """
        try:
            with open(self._path, "rb") as file:
                facts = os.fstat(file.fileno())
                seen = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
                if seen != self._seen:
                    self._digest = hashlib.file_digest(file, "sha256").hexdigest()
                    self._seen = seen
        except OSError as error:
            raise HostNotReady(f"{self._path} cannot be read: {error.strerror}.") from error
        return self._digest
