"""Find the paths that a user leaves out of a workspace, by patterns as in `.gitignore`.

Only these patterns count: no `.gitignore` file, and nothing of the repository's or the user's
configuration. Git matches them, in a private git directory and an empty work tree; nothing else is
read or written. The names may be hostile: what is no safe name is never excluded, and never a path.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from banger.workspace.facts import RepositoryFacts, Settings
from banger.workspace.git import shadow_git
from banger.workspace.locate import Places
from banger.workspace.names import is_safe_name
from banger.workspace.shadow import make_shadow

_WITHIN = b"/.banger-any"
"""A name in a directory, to ask for the directory itself: git would look whether it is one."""


class Exclusion:
    """The patterns of one copy; `directory` is private, and `places` are the copied ones.

    `below`: the directory of a submodule, with a slash: its names are matched with it.
    """

    def __init__(
        self, patterns: bytes, directory: Path, places: Places, commit: str, *, below: bytes = b""
    ) -> None:
        self._patterns = patterns
        self._prefix = b"./" + below
        self._home = directory / "excluding"
        self._places = places
        self._commit = commit

    async def find(
        self, files: Iterable[bytes], directories: Iterable[bytes] = ()
    ) -> frozenset[bytes]:
        """Return the names that are excluded, by themselves or by a directory above."""
        if not self._patterns:
            return frozenset()
        asked = [name for name in files if is_safe_name(name)]
        asked += [name + _WITHIN for name in directories if is_safe_name(name)]
        if not asked:
            return frozenset()
        self._home.mkdir(exist_ok=True)
        settings = Settings(exclude=self._patterns)
        git_dir = make_shadow(self._home, self._places, commit=self._commit, settings=settings)
        empty = self._home / "empty"
        empty.mkdir(exist_ok=True)
        # A leading colon would start a magic pathspec; `./` prevents that.
        stdin = b"".join(b"%s%s\0" % (self._prefix, name) for name in asked)
        command = ("--no-literal-pathspecs", "check-ignore", "--stdin", "-z", "--no-index")
        answer = await shadow_git(git_dir, empty, *command, ok=(0, 1), stdin=stdin)
        found = answer.stdout.split(b"\0")[:-1]
        return frozenset(name.removeprefix(self._prefix).removesuffix(_WITHIN) for name in found)


def exclusion_of(facts: RepositoryFacts, directory: Path) -> Exclusion:
    """Return the patterns of a repository or submodule that is copied; `directory` is private."""
    return Exclusion(facts.patterns, directory, facts.places, facts.commit, below=facts.below)
