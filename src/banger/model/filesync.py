"""The setting `file_sync`: files of the user's home directory to copy into each new VM. Pure.

[[file_sync]]
host = "~/.gitconfig"
guest = "~/.gitconfig"   # optional: the same place in root's home
mode = "0644"            # optional: 0600
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass

from banger.model.setup import is_plain_path

FILES_MAX = 50
GUEST_HOME = "/root/"
DEFAULT_MODE = 0o600

_KEYS = {"host", "guest", "mode"}
_MODE = re.compile(r"0?[0-7]{3}")
_EXPECTED = (
    'a list of tables with host = "~/FILE" and, if they differ, guest = "/FILE" and mode = "0644"'
)


@dataclass(frozen=True)
class SyncedFile:
    """One file. `host` is relative to the user's home, `guest` absolute."""

    host: str
    guest: str
    mode: int = DEFAULT_MODE


@dataclass(frozen=True)
class FileSync:
    """All files that the configuration names."""

    files: tuple[SyncedFile, ...] = ()

    def as_document(self) -> list[dict[str, object]]:
        """Return the tables as written in the configuration."""
        return [
            {"host": f"~/{file.host}", "guest": file.guest, "mode": f"{file.mode:04o}"}
            for file in self.files
        ]

    def __str__(self) -> str:
        return ", ".join(f"~/{file.host} to {file.guest}" for file in self.files)


def parse_file_sync(untrusted_value: object) -> FileSync:
    """Return the files of a list of tables; a string holds an inline TOML list.

    Raises:
        ValueError: not such a list; the message says what was expected.
    """
    if isinstance(untrusted_value, str):
        try:
            untrusted_value = tomllib.loads(f"list = {untrusted_value}")["list"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError(_EXPECTED) from error
    if not isinstance(untrusted_value, list) or len(untrusted_value) > FILES_MAX:
        raise ValueError(_EXPECTED)
    files = tuple(_parse_one(each) for each in untrusted_value)
    if len({file.guest for file in files}) < len(files):
        raise ValueError(f"{_EXPECTED}; a file of the guest is given twice")
    return FileSync(files)


def _parse_one(untrusted: object) -> SyncedFile:
    if not isinstance(untrusted, dict) or untrusted.keys() - _KEYS:
        raise ValueError(_EXPECTED)
    host, mode = untrusted.get("host"), untrusted.get("mode", f"{DEFAULT_MODE:04o}")
    guest = untrusted.get("guest", host)
    if not isinstance(host, str) or not host.startswith("~/") or not is_plain_path(host[2:]):
        raise ValueError(f"{_EXPECTED}; host is not a file in the home directory")
    if not isinstance(guest, str) or not isinstance(mode, str) or not _MODE.fullmatch(mode):
        raise ValueError(_EXPECTED)
    place = GUEST_HOME + guest[2:] if guest.startswith("~/") else guest
    if not place.startswith("/") or not is_plain_path(place[1:]):
        raise ValueError(f"{_EXPECTED}; guest is not the absolute path of a file")
    return SyncedFile(host[2:], place, int(mode, 8))
