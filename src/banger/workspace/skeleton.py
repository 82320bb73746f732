"""The guest's `.git`, made without running git there: of one commit, or of all history.

Files of the guest's git directory: HEAD, config, the refs, `shallow`, info/*, the index, one pack
with its index, and in the workspace itself `banger/workspace`, which marks banger's workspaces.

The index is the host's, with the stat data of the guest's files (`guestindex.py`), so the first
`git status` there reads no file. The index keeps its modification time: an entry that is not
older is racily clean and compared by content, on host and guest alike.

Pure, except for reading the pack.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from pathlib import Path

from banger.tar.write import directory_entry, file_chunks, file_entry
from banger.workspace.facts import RepositoryFacts
from banger.workspace.names import parents
from banger.workspace.settings import render_config

_MARKER = b"banger/workspace"
MARKER = ".git/banger/workspace"
"""Present in every workspace that banger made; a directory without it is never replaced."""

_DIRECTORIES = (b"hooks", b"info", b"objects/info", b"objects/pack", b"refs/heads", b"refs/tags")
_UNSIGNED = {"commit.gpgSign": b"false", "tag.gpgSign": b"false"}
"""The user's keys stay on the host, so commits in the guest cannot be signed."""
_PROMISED = {"remote.banger-excluded.promisor": b"true"}
"""Git then allows objects to be missing that the pack's objects name; it cannot fetch them."""


def git_dir_chunks(
    files: Mapping[bytes, bytes],
    *,
    index: bytes | None,
    index_mtime_s: int,
    pack: Path,
    is_partial: bool,
) -> Generator[bytes, None, None]:
    """Yield the tar entries of `.git`.

    `files` are the small ones (`render_files`); `pack` is the pack's path without suffix;
    `is_partial`: it lacks objects on purpose.
    """
    directories = {above for name in files for above in parents(name)}
    directories.update(_DIRECTORIES, (above for name in _DIRECTORIES for above in parents(name)))
    yield directory_entry(b".git")
    for directory in sorted(directories):
        yield directory_entry(b".git/" + directory)
    for name, content in files.items():
        yield file_entry(b".git/" + name, content)
    for suffix in (".pack", ".idx"):
        fd = os.open(pack.with_name(pack.name + suffix), os.O_RDONLY | os.O_CLOEXEC)
        try:
            name = b".git/objects/pack/" + os.fsencode(pack.name + suffix)
            yield from file_chunks(name, fd, mode=0o444)
        finally:
            os.close(fd)
    if is_partial:
        yield file_entry(b".git/objects/pack/" + os.fsencode(pack.name + ".promisor"), b"")
    if index is not None:
        yield file_entry(b".git/index", index, mtime_s=index_mtime_s)


def render_files(facts: RepositoryFacts, *, is_workspace: bool = True) -> dict[bytes, bytes]:
    """Return the small files of the guest's git directory by name. Pure.

    `is_workspace`: false for a submodule, which is part of its workspace.
    """
    commit = facts.commit.encode()
    ref = None if facts.branch is None else f"refs/heads/{facts.branch}"
    files = {
        b"config": render_config(_config(facts)),
        b"info/exclude": facts.settings.exclude,
        b"HEAD": commit + b"\n" if ref is None else b"ref: %s\n" % os.fsencode(ref),
    }
    if is_workspace:
        files[_MARKER] = b"1 " + commit + b"\n"
    refs = facts.history.refs if facts.history else ()
    files |= {
        os.fsencode(each.name): b"ref: %s\n" % os.fsencode(each.target)
        for each in refs
        if each.is_symbolic
    }
    targets = {each.name: each.target for each in refs if not each.is_symbolic}
    if ref is not None:
        targets[ref] = facts.commit
    if targets:
        files[b"packed-refs"] = render_packed_refs(targets)
    if facts.boundary:
        files[b"shallow"] = "".join(f"{each}\n" for each in facts.boundary).encode()
    if facts.settings.attributes:
        files[b"info/attributes"] = facts.settings.attributes
    if facts.settings.sparse_patterns:
        files[b"info/sparse-checkout"] = facts.settings.sparse_patterns
    return files


def render_packed_refs(targets: Mapping[str, str]) -> bytes:
    """Return the file of packed references, given their objects.

    Packed, so that names with slashes need no directories. Without `peeled` in the header, git
    looks for itself what a tag names.
    """
    lines = sorted((os.fsencode(name), oid.encode()) for name, oid in targets.items())
    header = b"# pack-refs with: sorted \n"
    return header + b"".join(b"%s %s\n" % (oid, name) for name, oid in lines)


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
    options |= _UNSIGNED | dict(facts.settings.options)
    if "remote.origin.url" in options:
        options["remote.origin.fetch"] = b"+refs/heads/*:refs/remotes/origin/*"
    if facts.history is not None:
        options |= dict(facts.history.options)
    if facts.lacks_objects:
        options |= _PROMISED
    for each in facts.with_contents:
        if each.label is not None:
            options[f"submodule.{each.label}.active"] = b"true"
            if each.url:
                options[f"submodule.{each.label}.url"] = each.url
    return options
