"""A private git directory that sees a repository's objects but not its configuration.

Owns one temporary directory (0700, removed on leaving): HEAD, a config of banger's, the
index, ignore and attribute files. Objects are borrowed from the repository through
`objects/info/alternates`; new objects land here and are removed with the directory. So
git can refresh an index, list and pack without learning of any hook, filter, monitor,
external diff or promisor of the repository (hazard F4).

Takes no lock and never writes into the repository. If the process dies, the
temporary directory stays; below the staging directory the daemon removes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from banger.host.files import ensure_private_dir, space_errors
from banger.workspace.facts import Settings
from banger.workspace.locate import Places
from banger.workspace.names import quoted
from banger.workspace.settings import render_config

_FOLLOWING = ("filemode", "ignorecase", "symlinks", "autocrlf", "eol", "sparsecheckout")


@contextlib.contextmanager
def private_dir(scratch: Path | None) -> Iterator[Path]:
    """Create a private directory below `scratch` (default: the system's); remove it on leaving."""
    if scratch is not None:
        ensure_private_dir(scratch)
    directory = Path(tempfile.mkdtemp(prefix="banger-workspace.", dir=scratch))
    try:
        with space_errors(directory):
            yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def make_shadow(
    directory: Path, places: Places, *, commit: str, settings: Settings, more: Sequence[Path] = ()
) -> Path:
    """Make a private git directory in `directory`, with HEAD detached at `commit`; return it.

    `more`: object directories to borrow from besides the repository's.
    """
    git_dir = directory / "git"
    for name in ("objects/info", "objects/pack", "refs/heads", "info"):
        (git_dir / name).mkdir(parents=True, exist_ok=True)
    (git_dir / "HEAD").write_text(f"{commit}\n")
    (git_dir / "config").write_bytes(render_config(_options(places, settings)))
    there = (path for path in (places.objects, *more) if path.is_dir())
    borrowed = [quoted(os.fsencode(path)) + b"\n" for path in there]
    (git_dir / "objects/info/alternates").write_bytes(b"".join(borrowed))
    (git_dir / "info/exclude").write_bytes(settings.exclude)
    (git_dir / "info/attributes").write_bytes(settings.attributes)
    if settings.sparse_patterns:
        (git_dir / "info/sparse-checkout").write_bytes(settings.sparse_patterns)
    return git_dir


def set_boundary(git_dir: Path, commits: Sequence[str]) -> None:
    """Let these commits be without parents in a shadow, as in a shallow repository."""
    if commits:
        (git_dir / "shallow").write_text("".join(f"{commit}\n" for commit in commits))


def copy_index(places: Places, git_dir: Path) -> bool:
    """Copy the repository's index, with its time, into a shadow; False if there is none.

    The time must be the original's: an entry as new as the index is "racily clean" and
    compared by content. The shared parts of a split index are copied, too.
    """
    try:
        fd = os.open(places.index, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        write_index(git_dir, file.read(), mtime_ns=status.st_mtime_ns)
    for shared in places.index.parent.glob("sharedindex.*"):
        shutil.copy2(shared, git_dir / shared.name)
    return True


def write_index(git_dir: Path, content: bytes, *, mtime_ns: int) -> None:
    """Write an index with this modification time into a shadow."""
    index = git_dir / "index"
    index.write_bytes(content)
    os.utime(index, ns=(mtime_ns, mtime_ns))


def _options(places: Places, settings: Settings) -> dict[str, bytes]:
    hashes = places.object_format
    options = {
        "core.repositoryformatversion": b"0" if hashes == "sha1" else b"1",
        "core.bare": b"false",
        "core.excludesFile": b"/dev/null",
        "core.attributesFile": b"/dev/null",
        "core.splitIndex": b"false",
        "core.untrackedCache": b"false",
        "core.fsmonitor": b"false",
        "core.safecrlf": b"false",
        "index.sparse": b"false",
    }
    if hashes != "sha1":
        options["extensions.objectFormat"] = hashes.encode()
    wanted = {f"core.{name}" for name in _FOLLOWING}
    return options | {key: value for key, value in settings.options if key in wanted}
