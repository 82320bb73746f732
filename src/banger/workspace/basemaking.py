"""Make the base of an import, with which an export finds the guest's changes.

Reads uncommitted contents, which the repository lacks, a second time, and checks that they are
the bytes that were sent. Works in a private temporary directory, then publishes the base by one
rename. No lock: a base has a unique name.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from banger.errors import RepositoryRefused
from banger.host.files import ensure_private_dir, publish_dir
from banger.model.entries import GuestEntry
from banger.workspace.base import (
    Base,
    BaseFile,
    Seen,
    base_dir,
    encode_base,
    entries_of,
    file_mode,
    new_base_id,
    seen_of,
)
from banger.workspace.blobs import BlobPack, add_file, index_blobs
from banger.workspace.facts import RepositoryFacts
from banger.workspace.gitindex import IndexEntry, parse_index
from banger.workspace.plain import write_start
from banger.workspace.shadow import make_shadow
from banger.workspace.tarstream import SentFile
from banger.workspace.trees import (
    MODE_GITLINK,
    REGULAR,
    TreeEntry,
    list_tree,
    write_tree,
)
from banger.workspace.worktree import open_work_tree


@dataclass(frozen=True)
class PutIn:
    """The files that an import has sent, and the guest's entries for them, by name."""

    sent: Mapping[bytes, SentFile]
    entries: Mapping[bytes, GuestEntry]

    def find(self, name: bytes) -> GuestEntry | None:
        """Return the guest's entry of a file, if it still matches the sent file."""
        sent, entry = self.sent.get(name), self.entries.get(name)
        if sent is None or entry is None:
            return None
        seen = sent.seen
        same = stat.S_IFMT(entry.mode) == stat.S_IFMT(seen.mode)
        if same and stat.S_ISREG(seen.mode):
            mtime_ns = seen.mtime_ns // 10**9 * 10**9
            same = (entry.size, entry.mtime_ns) == (seen.size, mtime_ns)
        return entry if same else None


async def save_base(
    facts: RepositoryFacts, put_in: PutIn, *, index: bytes | None, directory: Path, bases: Path
) -> str:
    """Make and publish the base; return its id. `directory` is private and temporary.

    Raises:
        RepositoryRefused: a file changed after it was sent.
    """
    work = ensure_private_dir(directory / "base")
    git_dir = make_shadow(work, facts.places, commit=facts.commit, settings=facts.settings)
    if facts.is_plain:
        await write_start(git_dir)
    committed = await list_tree(git_dir, facts.commit)
    tracked = {} if index is None else _tracked(index, facts.places.object_format)
    files = _base_files(facts, put_in, committed, tracked)
    known = {entry.blob for entry in committed.values()}
    unknown = [file for file in files if file.blob not in known and file.mode != MODE_GITLINK]
    if unknown:
        await asyncio.to_thread(_pack, git_dir, put_in, unknown, facts.places.object_format)
        await index_blobs(git_dir, git_dir / _PACK)
    tree = await _write(git_dir, facts.commit, files, committed)
    changed = {change.name for change in facts.changes}
    base = Base(
        tree,
        files,
        list(facts.settings.options),
        facts.settings.exclude,
        facts.settings.attributes,
        sparse=[name for name in committed if name not in put_in.sent and name not in changed],
        empty=list(facts.empty_directories),
        is_plain=facts.is_plain,
        is_other_commit=facts.other_commit,
        patterns=facts.patterns,
        is_marked=True,
    )
    return await asyncio.to_thread(_publish, work, git_dir, base, bases)


_PACK = "objects/pack/pack-raw.pack"


def _tracked(index: bytes, object_format: str) -> dict[bytes, IndexEntry]:
    return {entry.name: entry for entry in parse_index(index, object_format)}


def _base_files(
    facts: RepositoryFacts,
    put_in: PutIn,
    committed: Mapping[bytes, TreeEntry],
    tracked: Mapping[bytes, IndexEntry],
) -> list[BaseFile]:
    changed = {change.name for change in facts.changes}
    heads = {each.name: each.facts.commit for each in facts.with_contents}
    trusts_modes = dict(facts.settings.options).get("core.filemode") != b"false"
    files = []
    empty = set(facts.empty_directories)
    for name, sent in sorted(put_in.sent.items()):
        if name in empty:
            continue
        known = tracked.get(name)
        if stat.S_ISDIR(sent.seen.mode):
            before = committed.get(name)
            blob = heads.get(name) or (known.blob if known else committed[name].blob)
            clean = before is not None and before.blob == blob
            files.append(BaseFile(name, MODE_GITLINK, blob, clean=clean))
            continue
        mode = file_mode(sent.seen.mode)
        if known and not trusts_modes and {mode, known.mode} <= REGULAR:
            mode = known.mode
        entry = put_in.find(name)
        seen: Seen | None = None if entry is None else seen_of(entry)
        clean = name in committed and name not in changed
        files.append(BaseFile(name, mode, sent.blob, seen, clean))
    return files


def _pack(git_dir: Path, put_in: PutIn, files: list[BaseFile], object_format: str) -> None:
    """Write the contents of these files into a pack.

    Raises:
        RepositoryRefused: a file changed after it was sent.
    """
    with open(git_dir / _PACK, "w+b") as output:
        pack = BlobPack(output, object_format, level=1)
        for top in sorted({put_in.sent[file.name].top for file in files}):
            with open_work_tree(top) as tree:
                for sent in (put_in.sent[file.name] for file in files):
                    if sent.top == top and add_file(pack, tree, sent.name) != sent.blob:
                        raise RepositoryRefused(
                            f"{os.fsdecode(sent.name)!r} changed while it was sent.",
                            hint="banger vm workspace prepare, once nothing writes to the "
                            "repository",
                        )
        pack.finish()


async def _write(
    git_dir: Path, commit: str, files: list[BaseFile], committed: Mapping[bytes, TreeEntry]
) -> str:
    """Write the tree of the imported files and return its id."""
    wanted = entries_of(files)
    if wanted == committed:
        return f"{commit}^{{tree}}"
    changed = [(name, e) for name, e in wanted.items() if committed.get(name) != e]
    return await write_tree(
        git_dir, commit, removed=committed.keys() - wanted.keys(), changed=changed
    )


def _publish(work: Path, git_dir: Path, base: Base, bases: Path) -> str:
    base_id = new_base_id()
    staged = ensure_private_dir(work / "staged")
    # Without alternates: each export finds the borrowed objects anew.
    (git_dir / "objects/info/alternates").unlink()
    os.rename(git_dir / "objects", staged / "objects")
    (staged / "manifest").write_bytes(encode_base(base))
    publish_dir(staged, base_dir(bases, base_id))
    return base_id
