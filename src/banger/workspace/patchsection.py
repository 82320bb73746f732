"""The headers of one file in a patch: which names they mean, and whether they are safe. Pure.

Strict on purpose: only what `git diff-index -p --binary --full-index` writes is
accepted, so that no other program can read the same bytes in another way (hazard E1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from banger.errors import UnsafePatch
from banger.workspace.names import is_gitmodules, is_safe_name, parents
from banger.workspace.quoting import parse_pair, parse_whole_name

SYMLINK = b"120000"
MODES = frozenset({b"100644", b"100755", SYMLINK, b"160000"})
NAMES_BYTES_MAX = 256 * 1024 * 1024
"""All names of one patch together: the memory that a guest can make us use."""

_PERCENT = re.compile(rb"(?:dis)?similarity index (?:100|[0-9]{1,2})%")
_INDEX = re.compile(rb"index [0-9a-f]{40,64}\.\.[0-9a-f]{40,64}(?: (?P<mode>[0-7]{6}))?")
_MODE = re.compile(
    rb"(?P<what>old mode|new mode|deleted file mode|new file mode) (?P<mode>[0-7]{6})"
)
_MOVE = re.compile(rb"(?P<what>rename|copy) (?P<side>from|to) (?P<name>.+)", re.DOTALL)


@dataclass
class Section:
    """What the header lines of one file said so far."""

    pair: bytes
    modes: dict[bytes, bytes] = field(default_factory=dict)
    moves: dict[bytes, bytes] = field(default_factory=dict)
    renamed: bool = False
    minus: bytes | None = None
    plus: bytes | None = None

    def take(self, line: bytes) -> bool:
        """Take an extended header line; False if it is none."""
        if _PERCENT.fullmatch(line):
            return True
        if match := _INDEX.fullmatch(line):
            return match["mode"] is None or self._mode(b"index", match["mode"])
        if match := _MODE.fullmatch(line):
            return self._mode(match["what"], match["mode"])
        if match := _MOVE.fullmatch(line):
            name = parse_whole_name(match["name"])
            if name is None or match["side"] in self.moves:
                return False
            self.moves[match["side"]] = name
            self.renamed |= match["what"] == b"rename"
            return True
        return False

    def _mode(self, what: bytes, mode: bytes) -> bool:
        allowed = mode in MODES or what in (b"old mode", b"deleted file mode")
        if what in self.modes or not allowed:
            return False
        self.modes[what] = mode
        return True

    @property
    def is_new(self) -> bool:
        return b"new file mode" in self.modes

    @property
    def is_deleted(self) -> bool:
        return b"deleted file mode" in self.modes

    @property
    def makes_symlink(self) -> bool:
        written = (b"new file mode", b"new mode", b"index")
        return any(self.modes.get(what) == SYMLINK for what in written)

    def names(self) -> tuple[bytes, bytes]:
        """Return the old and the new name, if all lines agree on them.

        Raises:
            UnsafePatch: they do not, or a name is missing.
        """
        moved_from = self.moves.get(b"from")
        pair = parse_pair(self.pair, None if moved_from is None else len(moved_from) + 2)
        old, new = pair or (b"", b"")
        wanted = (old[2:], old[2:])
        if self.moves:
            wanted = (moved_from or b"", self.moves.get(b"to", b""))
        if (old, new) != (b"a/" + wanted[0], b"b/" + wanted[1]) or not self._agrees(*wanted):
            raise UnsafePatch(
                f"The guest's patch has a header that names no one file: {self.pair[:200]!r}."
            )
        return wanted

    def _agrees(self, old: bytes, new: bytes) -> bool:
        """Tell whether the --- and +++ lines name the same files."""
        if self.minus is None:
            return True
        minus = b"/dev/null" if self.is_new else b"a/" + old
        plus = b"/dev/null" if self.is_deleted else b"b/" + new
        return (self.minus, self.plus) == (minus, plus)


class Ledger:
    """What a patch has done to which names, so far.

    A file is never written below a symbolic link: neither one that the prepared commit has
    and the patch has not deleted, nor one that the patch makes, in whichever order.
    """

    def __init__(self, existing_symlinks: frozenset[bytes]) -> None:
        self._symlinks = set(existing_symlinks)
        self._written: set[bytes] = set()
        self._removed: set[bytes] = set()
        self._above_written: set[bytes] = set()
        self._size = 0

    def enter(self, section: Section) -> None:
        """Check one file and note it.

        Raises:
            UnsafePatch: applying it would write where it must not.
        """
        old, new = section.names()
        for name in (old, new):
            if not is_safe_name(name):
                raise UnsafePatch(
                    f"The guest's patch names {name!r}, which is outside the work tree or in .git."
                )
        self._bound([old, new])
        if section.is_deleted or section.renamed:
            self._remove(old)
        if not section.is_deleted:
            self._write(new, symlink=section.makes_symlink)

    def _remove(self, name: bytes) -> None:
        if name in self._removed:
            raise UnsafePatch(f"The guest's patch removes {name!r} twice.")
        self._removed.add(name)
        if name not in self._written:
            self._symlinks.discard(name)

    def _write(self, name: bytes, *, symlink: bool) -> None:
        if name in self._written:
            raise UnsafePatch(f"The guest's patch writes {name!r} twice.")
        if symlink and is_gitmodules(name):
            raise UnsafePatch("The guest's patch makes .gitmodules a symbolic link.")
        above = parents(name)
        if (symlink and name in self._above_written) or not self._symlinks.isdisjoint(above):
            raise UnsafePatch(f"The guest's patch writes {name!r} through a symbolic link.")
        self._written.add(name)
        self._bound([name for name in above if name not in self._above_written])
        self._above_written.update(above)
        if symlink:
            self._symlinks.add(name)

    def _bound(self, names: list[bytes]) -> None:
        """Count what is remembered; about 100 bytes are spent on each name besides itself."""
        self._size += sum(len(name) + 100 for name in names)
        if self._size > NAMES_BYTES_MAX:
            raise UnsafePatch("The guest's patch names more files than can be checked.")
