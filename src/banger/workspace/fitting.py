"""Two trees whose patch `git apply` takes on the host, where the host's git converts files.

`git apply` converts a file when it reads it (line ends, encodings, filters) and again when it
writes it. The exception are texts with CRLF: such lines in a patch are compared as they are.
So a file goes into the patch with the bytes that it has, unless its conversion is more
than one of line ends, or it is binary; then the old side is what the host's git makes of
the file that was put in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from banger.workspace.base import Base
from banger.workspace.blobs import read_blobs
from banger.workspace.converting import convert, find_rules
from banger.workspace.guesttree import GuestTree
from banger.workspace.trees import Entries, TreeEntry, list_tree

_BINARY_BYTES = 8000
"""Git takes a content with a NUL in so many first bytes for binary."""


@dataclass(frozen=True)
class _Content:
    """What is compared of a content."""

    with_lf: bytes
    """A digest of it with LF for each CRLF."""
    is_binary: bool


async def fit_to_host(git_dir: Path, commit: str, tree: GuestTree) -> tuple[Entries, Entries]:
    """Return what goes into a patch otherwise than its bytes: of the base, and of the guest."""
    if not _converts(tree.base):
        return {}, {}
    before = {file.name: TreeEntry(file.mode, file.blob) for file in tree.base.files}
    rules = find_rules(before)
    old = {name: before[name] for name in tree.removed.union(tree.changed) if name in before}
    old_made = await convert(git_dir, commit, old, rules=rules)
    new_made = await convert(git_dir, commit, tree.changed, rules=rules)
    committed = await list_tree(git_dir, commit)
    # Filters have no commands here, but what they made of a clean file is known.
    clean = {file.name for file in tree.base.files if file.clean}
    old_made |= {name: committed[name] for name in old if name in clean}
    differ = [_different(old, old_made), _different(tree.changed, new_made)]
    blobs = {blob for pair in (*differ[0].values(), *differ[1].values()) for blob in pair}
    blobs |= {tree.changed[name].blob for name in differ[0] if name in tree.changed}
    contents = await _load(git_dir, sorted(blobs))

    def keeps_old(name: bytes) -> bool:
        raw, made = differ[0][name]
        new = tree.changed.get(name)
        binary = contents[raw].is_binary or (new is not None and contents[new.blob].is_binary)
        return contents[raw].with_lf == contents[made].with_lf and not binary

    def keeps_new(name: bytes) -> bool:
        raw, made = differ[1][name]
        return contents[raw].with_lf == contents[made].with_lf

    return (
        {n: TreeEntry(old[n].mode, made) for n, (_, made) in differ[0].items() if not keeps_old(n)},
        {n: new_made[n] for n in differ[1] if not keeps_new(n)},
    )


def _converts(base: Base) -> bool:
    """Tell whether the host's git may convert anything at all."""
    autocrlf = dict(base.options).get("core.autocrlf", b"false")
    attributes = find_rules({file.name: TreeEntry(file.mode, file.blob) for file in base.files})
    return autocrlf != b"false" or bool(base.attributes or attributes)


def _different(raw: Entries, made: Entries) -> dict[bytes, tuple[str, str]]:
    """Return the blobs, by name, of what a conversion changes."""
    pairs = {name: (entry.blob, made[name].blob) for name, entry in raw.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


async def _load(git_dir: Path, blobs: Iterable[str]) -> dict[str, _Content]:
    wanted = list(blobs)
    found: dict[str, _Content] = {}
    names = iter(wanted)
    async for chunks in read_blobs(git_dir, wanted, scratch=git_dir.parent):
        digest = hashlib.sha256()
        head, held = b"", b""
        async for chunk in chunks:
            head += chunk[: _BINARY_BYTES - len(head)]
            part = held + chunk
            held = b"\r" if part.endswith(b"\r") else b""
            digest.update(part.removesuffix(held).replace(b"\r\n", b"\n"))
        digest.update(held)
        found[next(names)] = _Content(digest.digest(), b"\0" in head)
    return found
