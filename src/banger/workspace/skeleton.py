"""The guest's `.git`: a shallow repository of one commit, made without running git there.

Files of the guest's git directory: HEAD, config, the branch's ref, `shallow`, info/*, the
index, one pack with its index, and `banger/workspace`, which marks banger's workspaces.

The index is the host's, with the stat data of the guest's files (`guestindex.py`), so the first
`git status` there reads no file. The index keeps its modification time: an entry that is not
older is racily clean and compared by content, on host and guest alike.

Pure, except for reading the pack.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

from banger.tar.write import directory_entry, file_chunks, file_entry
from banger.workspace.facts import RepositoryFacts
from banger.workspace.settings import render_config

MARKER = ".git/banger/workspace"
"""Present in every workspace that banger made; a directory without it is never replaced."""

_DIRECTORIES = (
    b".git",
    b".git/banger",
    b".git/hooks",
    b".git/info",
    b".git/objects",
    b".git/objects/info",
    b".git/objects/pack",
    b".git/refs",
    b".git/refs/heads",
    b".git/refs/tags",
)


def git_dir_chunks(
    facts: RepositoryFacts, *, index: bytes | None, index_mtime_s: int, pack: Path
) -> Generator[bytes, None, None]:
    """Yield the tar entries of `.git`. `pack` is the path of the pack without its suffix."""
    for directory in _DIRECTORIES:
        yield directory_entry(directory)
    for name, content in render_files(facts).items():
        yield file_entry(b".git/" + name, content)
    for suffix in (".pack", ".idx"):
        fd = os.open(pack.with_name(pack.name + suffix), os.O_RDONLY | os.O_CLOEXEC)
        try:
            name = b".git/objects/pack/" + os.fsencode(pack.name + suffix)
            yield from file_chunks(name, fd, mode=0o444)
        finally:
            os.close(fd)
    if index is not None:
        yield file_entry(b".git/index", index, mtime_s=index_mtime_s)


def render_files(facts: RepositoryFacts) -> dict[bytes, bytes]:
    """Return the small files of the guest's git directory by name. Pure."""
    commit = facts.commit.encode()
    files = {
        b"config": render_config(_config(facts)),
        b"info/exclude": facts.settings.exclude,
        b"banger/workspace": b"1 " + commit + b"\n",
    }
    if facts.branch is None:
        files[b"HEAD"] = commit + b"\n"
    else:
        ref = b"refs/heads/" + os.fsencode(facts.branch)
        files[b"HEAD"] = b"ref: " + ref + b"\n"
        # Packed, so that a branch name with slashes needs no directories.
        header = b"# pack-refs with: peeled fully-peeled sorted \n"
        files[b"packed-refs"] = header + commit + b" " + ref + b"\n"
    if facts.has_parents:
        files[b"shallow"] = commit + b"\n"
    if facts.settings.attributes:
        files[b"info/attributes"] = facts.settings.attributes
    if facts.settings.sparse_patterns:
        files[b"info/sparse-checkout"] = facts.settings.sparse_patterns
    return files


def _config(facts: RepositoryFacts) -> dict[str, bytes]:
    hashes = facts.places.object_format
    options = {
        "core.repositoryformatversion": b"0" if hashes == "sha1" else b"1",
        "core.filemode": b"true",
        "core.bare": b"false",
        "core.logallrefupdates": b"true",
    }
    if hashes != "sha1":
        options["extensions.objectFormat"] = hashes.encode()
    options |= dict(facts.settings.options)
    if "remote.origin.url" in options:
        options["remote.origin.fetch"] = b"+refs/heads/*:refs/remotes/origin/*"
    return options
