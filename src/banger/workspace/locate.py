"""Find the repository that contains a path. Synchronous and light, since the command
line calls it before anything else (product contract, section 5, step 1).

Runs git once, read-only; writes nothing, takes no lock.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from banger.errors import NotARepository
from banger.host import programs
from banger.workspace.git import host_argv, host_environment

LOCATE_DEADLINE_S = 30.0
_GIT_FILE_BYTES_MAX = 2 * 4096


@dataclass(frozen=True)
class Places:
    """Paths of the parts of one repository, which a worktree or submodule keeps apart."""

    top: Path
    git_dir: Path
    index: Path
    objects: Path
    exclude: Path
    attributes: Path
    sparse_patterns: Path
    shallow: Path
    object_format: str


def locate_repository(path: str | os.PathLike[str]) -> Path:
    """Return the top of the work tree that contains `path`.

    Raises:
        NotARepository: `path` does not exist, is not a directory, or is in no repository, a bare
            repository, a git directory, or a repository that git does not trust.
        ToolMissing: git is not installed.
    """
    return locate_places(path).top


def locate_directory(path: str | os.PathLike[str]) -> Path:
    """Return the real path of a directory, in a repository or not.

    Raises:
        NotARepository: `path` does not exist, is not a directory, or is not readable.
    """
    return _require_directory(path).resolve()


def locate_places(path: str | os.PathLike[str]) -> Places:
    """Like `locate_repository`, but return all paths that an import reads.

    Raises: as `locate_repository`.
    """
    start = _require_directory(path)
    finished = programs.run_sync(
        host_argv(
            "rev-parse",
            "--is-bare-repository",
            "--is-inside-git-dir",
            "--show-toplevel",
            "--path-format=absolute",
            "--absolute-git-dir",
            *_paths("index", "objects", "info/exclude", "info/attributes"),
            *_paths("info/sparse-checkout", "shallow"),
            "--show-object-format",
        ),
        deadline_s=LOCATE_DEADLINE_S,
        cwd=start,
        env=host_environment(),
        ok=(0, 128),
    )
    lines = os.fsdecode(finished.stdout).split("\n")[:-1]
    if finished.status:
        raise _refusal(start, lines, os.fsdecode(finished.stderr))
    if len(lines) != 11:
        raise NotARepository(
            f"The path of the repository at {str(start)!r} has a line break in it.",
            hint="mv it to a path without line breaks",
        )
    paths = [Path(line) for line in lines[2:10]]
    _require_at_home(start, top=paths[0], git_dir=paths[1])
    return Places(
        top=paths[0],
        git_dir=paths[1],
        index=paths[2],
        objects=paths[3],
        exclude=paths[4],
        attributes=paths[5],
        sparse_patterns=paths[6],
        shallow=paths[7],
        object_format=lines[10],
    )


def _require_at_home(start: Path, *, top: Path, git_dir: Path) -> None:
    """Check that the git directory belongs to the work tree (hazard F4).

    With `core.worktree`, a repository from elsewhere could declare that the user's home is its work
    tree and that it tracks the user's keys.

    Raises:
        NotARepository: the `.git` of the work tree is missing or leads elsewhere.
    """
    own = top / ".git"
    with contextlib.suppress(OSError):
        if own.is_file():
            content = own.read_bytes()[:_GIT_FILE_BYTES_MAX].removeprefix(b"gitdir: ")
            own = top / os.fsdecode(content.rstrip(b"\r\n"))
        if own.samefile(git_dir):
            return
    raise NotARepository(
        f"The repository at {start} has its work tree elsewhere, at {top} (core.worktree).",
        hint=f"git -C {start} config --show-origin core.worktree",
    )


def _paths(*names: str) -> list[str]:
    return [part for name in names for part in ("--git-path", name)]


def _require_directory(path: str | os.PathLike[str]) -> Path:
    start = Path(os.path.abspath(path))
    if not os.path.lexists(start):
        is_name = os.sep not in str(path)
        hint = f"banger vm run --image {path} (if that is an image)" if is_name else None
        raise NotARepository(f"{str(path)!r} does not exist.", hint=hint or f"ls {start.parent}")
    if not start.is_dir():
        raise NotARepository(
            f"{str(path)!r} is not a directory.", hint=f"banger vm run {start.parent}"
        )
    if not os.access(start, os.R_OK | os.X_OK):
        raise NotARepository(f"{str(path)!r} is not readable by you.")
    return start


def _refusal(start: Path, lines: list[str], said: str) -> NotARepository:
    """Return the error for git's output."""
    last = said.strip().splitlines()[-1:] or ["git gave no reason"]
    if "dubious ownership" in said:
        return NotARepository(
            f"The repository at {start} belongs to another user, and git does not trust it.",
            hint=f"git config --global --add safe.directory {start}",
        )
    if lines[:1] == ["true"]:
        return NotARepository(
            f"{start} is a bare repository: it has no work tree.",
            hint=f"git clone {start} CLONE, then: banger vm run CLONE",
        )
    if lines[1:2] == ["true"]:
        return NotARepository(f"{start} is inside a git directory, not in a work tree.")
    if "not a git repository" in said:
        return NotARepository(
            f"{start} is not in a git repository.",
            hint=f"add --plain to copy it as it is; or: git -C {start} init, then commit",
        )
    return NotARepository(f"git cannot read the repository at {start}: {last[0]}", details=said)
