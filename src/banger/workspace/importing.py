"""Put a repository into a guest: plan, then act.

The import is whole or absent: everything is unpacked into a directory beside the target,
which one rename makes the workspace. An export never sees half of it; a failed import
leaves the target as it was and can be repeated. The names are fixed
(`.NAME.banger-import`, `.NAME.banger-previous`), since prepares of one VM run one after
the other (workspace lock L3, held by the caller); what an import that was cut off left
behind, the next one empties.

A directory that is not a workspace of ours is never replaced. One that is moves aside,
one generation deep, so that work in it which was never exported is not lost.

The guest needs a shell, no git. Files of the work tree go first, while the pack is made. Then
the guest says which inodes and times they got: for the base (`basemaking.py`), and for
the index (`guestindex.py`), which goes last with the rest of `.git`. Needs no VM lock (hazard C1).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from banger.errors import (
    BangerError,
    DeadlineExceeded,
    GuestPathTaken,
    GuestRefused,
    InvalidRequest,
)
from banger.host.tarformat import END_OF_TAR
from banger.workspace.basemaking import PutIn, save_base
from banger.workspace.facts import (
    FileKind,
    ImportPlan,
    PreparedWorkspace,
    Progress,
    RepositoryFacts,
    WorkFile,
)
from banger.workspace.guestfiles import Completed, GuestFiles
from banger.workspace.guestindex import guest_index
from banger.workspace.names import parents
from banger.workspace.packing import Material, gather_material, make_pack
from banger.workspace.settings import render_identity
from banger.workspace.shadow import private_dir
from banger.workspace.skeleton import MARKER, git_dir_chunks
from banger.workspace.tarstream import SentFile, gathered, work_tree_chunks

GUEST_HOME = "/root"
STEP_DEADLINE_S = 60.0
"""For each of the small commands around the transfer."""

_TAKEN = 93
_CHECK = """
if [ -L "$1" ] || { [ -e "$1" ] && [ ! -d "$1" ]; }; then exit 93; fi
if [ -d "$1" ] && [ -n "$(ls -A "$1")" ] && [ ! -f "$1/$2" ]; then exit 93; fi
mkdir -p "${1%/*}/"
"""
_PUBLISH = (
    _CHECK
    + """
set -e
moved=no
if [ -f "$1/$2" ]; then
    rm -rf "$4"
    mv "$1" "$4"
    moved=yes
elif [ -d "$1" ]; then
    rmdir "$1"
fi
mv "$3" "$1"
echo "$moved"
# From here on nothing may fail. Users other than root reach a workspace in root's home.
set +e
case $1 in "$HOME"/*) chmod o+x "$HOME" ;; esac
[ -z "$5" ] || [ -e ~/.gitconfig ] || [ -e ~/.config/git/config ] || printf %s "$5" >~/.gitconfig
exit 0
"""
)
"""$1 the workspace, $2 our marker in it, $3 the new one, $4 where the old one goes, $5 a user's
git configuration with the host's identity, for repositories that are made in the guest."""


def plan_import(facts: RepositoryFacts, guest_path: str | None = None) -> ImportPlan:
    """Return what an import of these facts will do. Pure.

    Raises:
        InvalidRequest: `guest_path` is not an absolute path below the guest's root.
    """
    path = f"{GUEST_HOME}/{facts.top.name}" if guest_path is None else guest_path
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise InvalidRequest(f"{path!r} is not an absolute path.", hint="--guest-path /root/NAME")
    normal = "/" + posixpath.normpath(path).strip("/")
    if normal == "/":
        raise InvalidRequest(
            "The guest's root cannot be a workspace.", hint="--guest-path /root/NAME"
        )
    return ImportPlan(facts, normal)


async def import_workspace(
    guest: GuestFiles,
    plan: ImportPlan,
    *,
    deadline_s: float,
    bases: Path,
    progress: Progress | None = None,
    scratch: Path | None = None,
) -> PreparedWorkspace:
    """Make the workspace of a plan in the guest, and its base below `bases`.

    The caller holds the VM's workspace lock. `scratch` is where the temporary directory goes; it
    is on the file system of `bases`.

    Raises:
        GuestPathTaken: the guest path holds something else.
        RepositoryRefused: the repository changed or cannot be read.
        DeadlineExceeded: it took longer than `deadline_s`.
        GuestGone, GuestRefused: the guest could not do it.
    """
    try:
        async with asyncio.timeout(deadline_s):
            transfer = _Transfer(guest, plan, _beside(plan.guest_path, "import"), deadline_s)
            return await _import(transfer, bases, _Count(plan, progress or _silent), scratch)
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"The import of {plan.host_path} did not finish within {deadline_s:g} s."
        ) from error


@dataclass(frozen=True)
class _Transfer:
    """Where an import goes."""

    guest: GuestFiles
    plan: ImportPlan
    staging: str
    deadline_s: float


async def _import(
    transfer: _Transfer, bases: Path, count: _Count, scratch: Path | None
) -> PreparedWorkspace:
    guest, plan, staging = transfer.guest, transfer.plan, transfer.staging
    previous = _beside(plan.guest_path, "previous")
    checked = await _script(guest, _CHECK, plan.guest_path, MARKER)
    _require_ok(checked, plan)
    try:
        with private_dir(scratch) as directory:
            base = await _send(transfer, directory, bases, count)
        identity = render_identity(plan.facts.settings)
        published = await _script(
            guest, _PUBLISH, plan.guest_path, MARKER, staging, previous, identity
        )
        _require_ok(published, plan)
    except BaseException:
        # Best effort, in the caller's last moments: the next import empties it anyway.
        with contextlib.suppress(BangerError, TimeoutError):
            async with asyncio.timeout(STEP_DEADLINE_S):
                await guest.run(["rm", "-rf", "--", staging], deadline_s=STEP_DEADLINE_S)
        raise
    moved = published.untrusted_stdout.strip() == b"yes"
    return PreparedWorkspace(
        host_path=plan.host_path,
        guest_path=plan.guest_path,
        commit=plan.commit,
        branch=plan.branch,
        files=count.files,
        bytes=count.bytes,
        untracked_left_out=plan.untracked_left_out,
        base=base,
        notices=_notices(plan.facts, previous if moved else None),
    )


async def _send(transfer: _Transfer, directory: Path, bases: Path, count: _Count) -> str:
    """Send everything into the staging directory; return the id of the base."""
    facts = transfer.plan.facts
    material = await gather_material(facts, directory)
    async with _packing(facts, material) as packing:
        put_in = await _send_tree(transfer, material, count)
        base = await save_base(
            facts, put_in, index=material.index, directory=directory, bases=bases
        )
        await _send_git_dir(transfer, material, put_in, packing)
    return base


class _Count:
    """What has been sent so far, told to the progress callback."""

    def __init__(self, plan: ImportPlan, progress: Progress) -> None:
        self.sent: dict[bytes, SentFile] = {}
        self.bytes = 0
        self._total = plan.bytes
        self._progress = progress

    @property
    def files(self) -> int:
        return len(self.sent)

    def add(self, file: SentFile) -> None:
        self.sent[file.name] = file
        self.bytes += file.size

    def tell(self) -> None:
        self._progress("workspace", self.bytes, self._total)


def _silent(stage: str, done: int, total: int) -> None:
    """Take progress from those who did not ask for it."""


@contextlib.asynccontextmanager
async def _packing(facts: RepositoryFacts, material: Material) -> AsyncIterator[asyncio.Task[Path]]:
    """The making of the pack, beside the block; ended with it."""
    task = asyncio.create_task(make_pack(facts, material))
    try:
        yield task
    finally:
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _send_tree(transfer: _Transfer, material: Material, count: _Count) -> PutIn:
    """Send the work tree, and have the guest say what has become of it."""
    guest, staging, deadline_s = transfer.guest, transfer.staging, transfer.deadline_s
    # The stream is closed here: it reads files below the temporary directory.
    async with contextlib.aclosing(_tree_stream(transfer.plan, material, count)) as chunks:
        await guest.tar_in(staging, chunks, empty_first=True, deadline_s=deadline_s)
    names = {above for name in count.sent for above in parents(name)}
    entries = await guest.list_directories(staging, [b"", *sorted(names)], deadline_s=deadline_s)
    return PutIn(count.sent, {entry.name: entry for entry in entries})


async def _tree_stream(
    plan: ImportPlan, material: Material, count: _Count
) -> AsyncGenerator[bytes, None]:
    """Yield the tar of the work tree."""
    object_format = plan.facts.places.object_format
    for top, files in _sources(plan.facts, material):
        tree = work_tree_chunks(top, files, on_file=count.add, object_format=object_format)
        async with contextlib.aclosing(_threaded(gathered(tree))) as chunks:
            async for chunk in chunks:
                count.tell()
                yield chunk
    yield END_OF_TAR
    count.tell()


async def _send_git_dir(
    transfer: _Transfer, material: Material, put_in: PutIn, packing: asyncio.Task[Path]
) -> None:
    """Send `.git`, with the pack when it is ready, and an index that knows the guest's files."""
    facts, index = transfer.plan.facts, material.index
    if index is not None:
        index = await asyncio.to_thread(guest_index, facts, index, put_in)
    entries = git_dir_chunks(
        facts, index=index, index_mtime_s=material.index_mtime_s, pack=await packing
    )
    async with contextlib.aclosing(_threaded(_whole_tar(gathered(entries)))) as chunks:
        await transfer.guest.tar_in(
            transfer.staging, chunks, empty_first=False, deadline_s=transfer.deadline_s
        )


def _whole_tar(chunks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    yield from chunks
    yield END_OF_TAR


def _sources(
    facts: RepositoryFacts, material: Material
) -> Iterator[tuple[Path, tuple[WorkFile, ...]]]:
    """Yield each tree with its files: for `--from`, untracked ones come from the work tree."""
    if material.tree == facts.top:
        yield facts.top, facts.files
        return
    extra = set(facts.untracked) if facts.untracked_included else set()
    yield material.tree, tuple(file for file in facts.files if file.name not in extra)
    yield facts.top, tuple(file for file in facts.files if file.name in extra)


async def _threaded(chunks: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    """Yield from a blocking iterator, one chunk ahead, each made in a thread."""
    loop = asyncio.get_running_loop()
    ahead = loop.run_in_executor(None, next, chunks, b"")
    try:
        while chunk := await asyncio.shield(ahead):
            ahead = loop.run_in_executor(None, next, chunks, b"")
            yield chunk
    finally:
        # A thread cannot be cancelled, and the iterator holds descriptors.
        await asyncio.gather(ahead, return_exceptions=True)
        chunks.close()


async def _script(guest: GuestFiles, script: str, *args: str) -> Completed:
    """Run one of the fixed scripts; its arguments stay arguments (hazard G2)."""
    return await guest.run(["sh", "-c", script, "banger", *args], deadline_s=STEP_DEADLINE_S)


def _require_ok(completed: Completed, plan: ImportPlan) -> None:
    if completed.status == _TAKEN:
        raise GuestPathTaken(
            f"{plan.guest_path} exists in the guest and is no workspace of banger's.",
            hint="--guest-path with another path, or remove it there with: banger vm exec",
        )
    if completed.status:
        raise GuestRefused(
            f"The guest could not make {plan.guest_path} (status {completed.status}).",
            details=completed.untrusted_stderr[-2000:].decode("utf-8", "replace"),
        )


def _beside(guest_path: str, what: str) -> str:
    parent, name = posixpath.split(guest_path)
    return posixpath.join(parent, f".{name}.banger-{what}")


def _notices(facts: RepositoryFacts, previous: str | None) -> tuple[str, ...]:
    """Return what the user should know about what did not arrive."""
    notices = []
    if facts.untracked_left_out:
        notices.append(
            f"Untracked files that stayed on the host: {facts.untracked_left_out} "
            "(--include-untracked sends them)."
        )
    empty = [file.name for file in facts.files if file.kind is FileKind.GITLINK]
    if empty:
        notices.append(f"Submodules that are empty directories in the guest: {len(empty)}.")
    if facts.left_out:
        first = os.fsdecode(facts.left_out[0])
        notices.append(
            f"{len(facts.left_out)} names cannot be sent (pipes, sockets, repositories within), "
            f"such as {first!r}."
        )
    if facts.conflicts:
        notices.append(
            f"{len(facts.conflicts)} files have conflicts; the merge itself does not go on in the "
            "guest: a commit there has one parent."
        )
    if previous:
        notices.append(f"The workspace that was there is now {previous} in the guest.")
    return tuple(notices)
