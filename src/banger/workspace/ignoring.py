"""Find the ignored names among the guest's new ones, with the host's git.

Works in a mirror, a private directory that contains only directories of the guest's names and
the guest's `.gitignore` files. The patterns of the repository and the user are those of the
import (`info/exclude` of the shadow). The patterns are hostile, but used only as data.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from banger.errors import GuestProtocolError
from banger.workspace.git import shadow_git
from banger.workspace.names import parents


class IgnoreRules:
    """The patterns added so far."""

    def __init__(self, git_dir: Path, mirror: Path) -> None:
        self._git_dir = git_dir
        self._mirror = mirror
        self._made: set[bytes] = set()
        mirror.mkdir()

    def add(self, untrusted_files: Mapping[bytes, bytes]) -> None:
        """Add `.gitignore` files, by name.

        Raises:
            GuestProtocolError: the guest sent a name both as a file and as a directory.
        """
        for name, content in untrusted_files.items():
            self._make_directories(parents(name))
            with _mirror_errors(), open(self._path(name), "wb") as file:
                file.write(content)

    async def find_ignored(
        self, files: Iterable[bytes], directories: Iterable[bytes]
    ) -> frozenset[bytes]:
        """Return the names that are ignored, by themselves or by a parent directory."""
        files, directories = tuple(files), tuple(directories)
        for name in files:
            self._make_directories(parents(name))
        for name in directories:
            self._make_directories([*parents(name), name])
        # A leading colon would start a magic pathspec; `./` prevents that.
        asked = b"".join(b"./%s\0" % name for name in (*files, *directories))
        if not asked:
            return frozenset()
        command = ("--no-literal-pathspecs", "check-ignore", "--stdin", "-z", "--no-index")
        answer = await shadow_git(self._git_dir, self._mirror, *command, ok=(0, 1), stdin=asked)
        return frozenset(name.removeprefix(b"./") for name in answer.stdout.split(b"\0")[:-1])

    def _make_directories(self, names: Iterable[bytes]) -> None:
        for name in names:
            if name not in self._made:
                with _mirror_errors():
                    os.makedirs(self._path(name), exist_ok=True)
                self._made.add(name)

    def _path(self, name: bytes) -> bytes:
        return os.path.join(os.fsencode(self._mirror), name)


@contextlib.contextmanager
def _mirror_errors() -> Iterator[None]:
    """Raise GuestProtocolError for file errors that only a lying guest can cause."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise GuestProtocolError("The guest named a file as a directory.") from error
