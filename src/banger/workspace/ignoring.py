"""Which of the guest's new names are ignored: asked of the host's git, with the guest's patterns.

Works in a mirror, a directory of ours that holds nothing but directories of the guest's
names and its `.gitignore` files; the repository's and the user's own patterns are those of
the import (`info/exclude` of the shadow). The patterns are hostile and only ever data.
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
    """The patterns that are known so far."""

    def __init__(self, git_dir: Path, mirror: Path) -> None:
        self._git_dir = git_dir
        self._mirror = mirror
        self._made: set[bytes] = set()
        mirror.mkdir()

    def add(self, untrusted_files: Mapping[bytes, bytes]) -> None:
        """Add `.gitignore` files, by name.

        Raises:
            GuestProtocolError: the guest named one thing as a file and as a directory.
        """
        for name, content in untrusted_files.items():
            self._make_directories(parents(name))
            with _mirror_errors(), open(self._path(name), "wb") as file:
                file.write(content)

    async def find_ignored(
        self, files: Iterable[bytes], directories: Iterable[bytes]
    ) -> frozenset[bytes]:
        """Return which of these names are ignored, by themselves or by a directory above."""
        files, directories = tuple(files), tuple(directories)
        for name in files:
            self._make_directories(parents(name))
        for name in directories:
            self._make_directories([*parents(name), name])
        # A name that starts with a colon would be magic; `./` keeps it a name.
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
    """Turn what only a lying guest can cause into an error of its own."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise GuestProtocolError("The guest named a file as a directory.") from error
