"""Choose two trees whose patch `git apply` accepts on the host, where git converts files.

`git apply` converts a file when reading it (line endings, encodings, filters) and again when
writing it. Text with CRLF is the exception: such lines of a patch are compared unconverted.
So a file enters the patch with its own bytes, unless it is binary or its conversion changes
more than line endings; then the old side is the imported file as converted by the host's git.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from banger.workspace.base import entries_of
from banger.workspace.blobs import read_blobs
from banger.workspace.converting import check_out, convert, find_rules
from banger.workspace.git import shadow_git
from banger.workspace.guesttree import GuestTree
from banger.workspace.trees import Entries, TreeEntry, list_tree

_ATTRIBUTES = ("text", "crlf", "eol", "ident", "filter", "working-tree-encoding")
_BINARY_BYTES = 8000
"""Git treats a content with a NUL in its first 8000 bytes as binary."""


@dataclass(frozen=True)
class _Content:
    """The compared properties of a content."""

    with_lf: bytes
    """A digest of the content with each CRLF replaced by LF."""
    is_binary: bool


async def fit_to_host(git_dir: Path, commit: str, tree: GuestTree) -> tuple[Entries, Entries]:
    """Return the entries that replace a file's own bytes in a patch: of the base, of the guest."""
    before = entries_of(tree.base.files)
    rules = find_rules(before)
    touched = await _find_converted(git_dir, tree, rules)
    if not touched:
        return {}, {}
    old = {name: before[name] for name in touched if name in before}
    new = {name: tree.changed[name] for name in touched if name in tree.changed}
    old_made = await convert(git_dir, commit, old, rules=rules)
    new_made = await convert(git_dir, commit, new, rules=rules)
    committed = await list_tree(git_dir, commit)
    # Filters have no commands here, but the commit has their result for a clean file.
    clean = {file.name for file in tree.base.files if file.clean}
    old_made |= {name: committed[name] for name in old if name in clean}
    differ = [_different(old, old_made), _different(new, new_made)]
    blobs = {blob for pair in (*differ[0].values(), *differ[1].values()) for blob in pair}
    blobs |= {new[name].blob for name in differ[0] if name in new}
    contents = await _load(git_dir, sorted(blobs))

    def keeps_old(name: bytes) -> bool:
        raw, made = differ[0][name]
        binary = contents[raw].is_binary or (name in new and contents[new[name].blob].is_binary)
        return contents[raw].with_lf == contents[made].with_lf and not binary

    def keeps_new(name: bytes) -> bool:
        raw, made = differ[1][name]
        return contents[raw].with_lf == contents[made].with_lf

    return (
        {n: TreeEntry(old[n].mode, made) for n, (_, made) in differ[0].items() if not keeps_old(n)},
        {n: new_made[n] for n in differ[1] if not keeps_new(n)},
    )


async def _find_converted(git_dir: Path, tree: GuestTree, rules: Entries) -> list[bytes]:
    """Return the changed and removed names that the host's git may convert."""
    names = sorted(tree.removed.union(tree.changed))
    autocrlf = dict(tree.base.options).get("core.autocrlf", b"false") != b"false"
    if not names or not (autocrlf or rules or tree.base.attributes):
        return []
    work = git_dir.parent / "rules"
    await check_out(git_dir, work, rules)
    command = ("check-attr", "--stdin", "-z", *_ATTRIBUTES)
    stdin = b"".join(name + b"\0" for name in names)
    said = (await shadow_git(git_dir, work, *command, stdin=stdin)).stdout.split(b"\0")
    found: dict[bytes, set[bytes]] = {name: set() for name in names}
    for name, attribute, value in zip(said[0::3], said[1::3], said[2::3], strict=False):
        by_setting = autocrlf and (attribute, value) == (b"text", b"unspecified")
        if by_setting or value not in (b"unspecified", b"unset"):
            found[name].add(attribute)
    return [name for name in names if found[name]]


def _different(raw: Entries, made: Entries) -> dict[bytes, tuple[str, str]]:
    """Return the (raw, converted) blobs of the names that a conversion changes."""
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
