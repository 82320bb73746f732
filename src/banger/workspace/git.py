"""Run git on the host: the only module of this package that does.

A repository may be hostile (hazard F4): its configuration can name programs
that git runs (hooks, `core.fsmonitor`, filters, external diff, `core.sshCommand`,
a promisor remote with an `ext::` URL ...). Two functions keep such programs from running:

- `host_git` runs in the real repository, with every feature disabled that can be,
  and only commands that read references and configuration or add a verified pack.
  No transport is allowed, so git fails on a missing object instead of fetching it
  by a command of the repository's choice.
- `shadow_git` (see `shadow.py`) runs in a private git directory with banger's
  configuration, and never reads the repository's. Every command that reads files
  or attributes uses it, so filters have names but no commands.

`host_git` reads the user's own global configuration (identity, `safe.directory`), and
the system's only for an identity that the user's lacks; `shadow_git` reads neither.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from banger.errors import DeadlineExceeded
from banger.host import programs

if TYPE_CHECKING:
    import asyncio
    import contextlib

GIT_DEADLINE_S = 300.0
OUTPUT_LIMIT = 1024 * 1024 * 1024
"""Names of a repository with millions of files fit; an endless output does not."""

_KEPT_BYTES = 64 * 1024
_CHUNK_BYTES = 256 * 1024

_FLAGS = ("git", "--no-pager", "--literal-pathspecs", "--no-replace-objects")
_OFF = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.untrackedCache=false",
    "core.sshCommand=false",
    "core.alternateRefsCommand=false",
    "credential.helper=",
    "protocol.allow=never",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
)
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # An empty list of allowed transports; git 2.44 and newer have GIT_NO_LAZY_FETCH.
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
    "LANG": "C",
}


def host_argv(*args: str) -> list[str]:
    """Return the argument list that runs git in the real repository."""
    return [*_FLAGS, *(part for setting in _OFF for part in ("-c", setting)), *args]


def host_environment() -> dict[str, str]:
    """Return git's environment variables in addition to those of `host.programs`."""
    own = os.environ.get("XDG_CONFIG_HOME")
    return _ENVIRONMENT | ({"XDG_CONFIG_HOME": own} if own else {})


async def host_git(
    top: Path,
    *args: str,
    ok: Sequence[int] = (0,),
    stdin: bytes = b"",
    system: bool = False,
) -> programs.Finished:
    """Run git in the real repository whose work tree is `top`.

    `system`: also read the system's configuration.

    Raises:
        ToolMissing: git is not installed.
        ToolFailed: git's status is not in `ok`.
    """
    return await programs.run(
        host_argv(*args),
        deadline_s=GIT_DEADLINE_S,
        cwd=top,
        env=host_environment() | ({"GIT_CONFIG_NOSYSTEM": "0"} if system else {}),
        ok=ok,
        stdin=stdin,
        output_limit=OUTPUT_LIMIT,
    )


async def shadow_git(
    git_dir: Path,
    work_tree: Path,
    *args: str,
    ok: Sequence[int] = (0,),
    stdin: bytes = b"",
) -> programs.Finished:
    """Run git with a private git directory over a work tree.

    Raises: as `host_git`.
    """
    return await programs.run(
        [*_FLAGS, *args],
        deadline_s=GIT_DEADLINE_S,
        cwd=work_tree,
        env=shadow_environment(git_dir, work_tree),
        ok=ok,
        stdin=stdin,
        output_limit=OUTPUT_LIMIT,
    )


def shadow_program(
    git_dir: Path, *args: str, stdin: IO[bytes]
) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """Start git with a private git directory and no work tree; kill it on leaving."""
    environment = shadow_environment(git_dir, git_dir)
    return programs.piped([*_FLAGS, *args], stdin=stdin, cwd=git_dir, env=environment)


async def shadow_output(
    git_dir: Path, work_tree: Path, *args: str, deadline_s: float
) -> AsyncGenerator[bytes, None]:
    """Run git with a private git directory over a work tree; yield its output as it comes.

    The deadline applies to each wait, not to the consumer's own time.

    Raises:
        ToolFailed: git failed.
        DeadlineExceeded: git wrote nothing for `deadline_s`.
    """
    import asyncio

    argv = [*_FLAGS, *args]
    environment = shadow_environment(git_dir, work_tree)
    try:
        async with programs.piped(argv, cwd=work_tree, env=environment) as process:
            assert process.stdout and process.stderr
            complaints = asyncio.create_task(_tail(process.stderr))
            try:
                while True:
                    async with asyncio.timeout(deadline_s):
                        chunk = await process.stdout.read(_CHUNK_BYTES)
                    if not chunk:
                        break
                    yield chunk
                async with asyncio.timeout(deadline_s):
                    status, said = await process.wait(), await complaints
            finally:
                complaints.cancel()
    except TimeoutError as error:
        raise DeadlineExceeded(f"git {args[0]} did not finish within {deadline_s:g} s.") from error
    programs.check(programs.Finished(tuple(argv), status, b"", said))


async def index_pack(
    top: Path, pack: BinaryIO, *, quarantine: Path | None, limit_bytes: int
) -> None:
    """Check a received pack strictly and store it: in quarantine, or in the repository itself.

    Raises:
        ToolFailed: an object is broken, has a forbidden name, or needs a missing object.
        DeadlineExceeded: git took too long.
    """
    import asyncio

    args = ("index-pack", "--stdin", "--fix-thin", "--strict", f"--max-input-size={limit_bytes}")
    if quarantine is None:
        argv, env = host_argv(*args), host_environment()
    else:
        argv, env = [*_FLAGS, *args], shadow_environment(quarantine, top)
    try:
        async with (
            asyncio.timeout(GIT_DEADLINE_S),
            programs.piped(argv, stdin=pack, cwd=top, env=env) as process,
        ):
            assert process.stdout and process.stderr
            said, complaints = await asyncio.gather(_tail(process.stdout), _tail(process.stderr))
            status = await process.wait()
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"git index-pack did not finish within {GIT_DEADLINE_S:g} s."
        ) from error
    programs.check(programs.Finished(tuple(argv), status, said, complaints))


async def _tail(pipe: asyncio.StreamReader) -> bytes:
    """Read to the end and keep the last part: a broken pack may cause a million messages."""
    kept = b""
    while chunk := await pipe.read(_KEPT_BYTES):
        kept = (kept + chunk)[-_KEPT_BYTES:]
    return kept


def shadow_environment(git_dir: Path, work_tree: Path) -> dict[str, str]:
    """Return the environment that binds git to a private git directory."""
    return _ENVIRONMENT | {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_DIR": str(git_dir),
        "GIT_WORK_TREE": str(work_tree),
        # git may refresh the private index.
        "GIT_OPTIONAL_LOCKS": "1",
    }
