"""Work trees as they are on the disk, and what a patch makes of them.

Nothing here asks git about the contents of a work tree: names, modes and bytes are read with
`os`, and object names are computed from the bytes. So a comparison does not depend on any setting.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import repositories as repo

Entry = tuple[str, bytes]
"""Mode as git has it, and the content or the link's target."""
Tree = dict[bytes, Entry]


@dataclass
class Walked:
    """Everything below a directory except git's own files."""

    files: Tree = field(default_factory=dict)
    empty: set[bytes] = field(default_factory=set)
    special: set[bytes] = field(default_factory=set)
    repositories: set[bytes] = field(default_factory=set)
    """Directories below the top that have a `.git` of their own."""


def walk(top: Path) -> Walked:
    """Read a work tree."""
    found = Walked()
    _walk(os.fsencode(top), b"", found)
    return found


def _walk(directory: bytes, prefix: bytes, found: Walked) -> None:
    names = sorted(os.listdir(directory))
    if b".git" in names and prefix:
        found.repositories.add(prefix.rstrip(b"/"))
    if not names and prefix:
        found.empty.add(prefix.rstrip(b"/"))
    for name in names:
        if name == b".git":
            continue
        path = os.path.join(directory, name)
        facts = os.lstat(path)
        if stat.S_ISDIR(facts.st_mode):
            _walk(path, prefix + name + b"/", found)
        elif stat.S_ISLNK(facts.st_mode):
            found.files[prefix + name] = ("120000", os.readlink(path))
        elif stat.S_ISREG(facts.st_mode):
            mode = "100755" if facts.st_mode & 0o100 else "100644"
            with open(path, "rb") as file:
                found.files[prefix + name] = (mode, file.read())
        else:
            found.special.add(prefix + name)


def apply_to(tree: Tree, patch: bytes) -> Tree:
    """Return the tree that a patch makes of another, byte for byte.

    The patch is applied to an index: in a work tree git may convert line ends.
    """
    objects: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        repo.git(top, "init", "--quiet", "--bare", ".")
        lines = [b"%s %s\t%s\0" % (m.encode(), _store(top, c), n) for n, (m, c) in tree.items()]
        repo.git(top, "update-index", "-z", "--index-info", stdin=b"".join(lines))
        if patch:
            repo.git(top, "apply", "--cached", "--whitespace=nowarn", "-", stdin=patch)
        listed = repo.git(top, "ls-files", "--stage", "-z")
        wanted = [entry.split(b" ")[1] for entry in listed.split(b"\0")[:-1]]
        objects = _read_objects(top, set(wanted))
    made: Tree = {}
    for entry in listed.split(b"\0")[:-1]:
        facts, _, name = entry.partition(b"\t")
        mode, oid, _ = facts.decode().split(" ")
        made[name] = (mode, objects[oid])
    return made


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _store(git_dir: Path, content: bytes) -> bytes:
    """Write a loose object; return its name."""
    oid = blob_id(content)
    path = git_dir / "objects" / oid[:2] / oid[2:]
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(b"blob %d\0" % len(content) + content, 1))
    return oid.encode()


def _read_objects(git_dir: Path, oids: Iterable[bytes]) -> dict[str, bytes]:
    found = {}
    for oid in oids:
        name = oid.decode()
        raw = (git_dir / "objects" / name[:2] / name[2:]).read_bytes()
        found[name] = zlib.decompress(raw).partition(b"\0")[2]
    return found


def not_ignored(walked: Walked, *, exclude: bytes) -> set[bytes]:
    """Return the names that neither the work tree's .gitignore files nor `exclude` ignore.

    For an empty directory the name is that of a file `hold` in it.
    """
    held = {name + b"/hold" for name in walked.empty}
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory, "copy")
        lay_out(copy, walked.files | dict.fromkeys(walked.special | held, ("100644", b"")))
        repo.git(copy, "init", "--quiet")
        (copy / ".git/info/exclude").write_bytes(exclude)
        listed = repo.git(copy, "ls-files", "--others", "--exclude-standard", "-z")
    return set(listed.split(b"\0")[:-1])


def tracked_by_guest(work: Path, *, skipped: bool = False) -> set[bytes]:
    """Return the names in the index of a work tree; `skipped`: those of a sparse checkout only."""
    if not (work / ".git").is_dir():
        return set()
    listed = repo.git(work, "ls-files", "-t", "-z", check=False).split(b"\0")[:-1]
    return {entry[2:] for entry in listed if not skipped or entry.startswith(b"S ")}


def lay_out(top: Path, tree: Tree) -> None:
    """Make a directory that holds a tree."""
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    lay_out_over(top, tree)


def lay_out_over(top: Path, tree: Tree) -> None:
    """Write a tree's names below a directory; a name that is below a file is passed over."""
    for name, (mode, content) in tree.items():
        path = os.path.join(os.fsencode(top), name)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if mode == "120000":
                os.symlink(content, path)
            else:
                repo.write(top, name, content, mode=0o755 if mode == "100755" else 0o644)
        except (NotADirectoryError, FileExistsError, IsADirectoryError):
            continue
