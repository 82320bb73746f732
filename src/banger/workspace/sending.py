"""Send a repository into a guest: first the work tree's files, then `.git`.

The work tree's files are sent while the pack is made. Then the guest reports their new inodes and
times, for the base (`basemaking.py`) and for the index (`guestindex.py`), which is sent last with
the rest of `.git`. In a full copy, LFS objects and the submodules follow, each submodule in the
same way. Writes into the staging directory of the guest, and the base on the host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from banger.guest import GuestFiles
from banger.host.files import ensure_private_dir
from banger.tar.format import END_OF_TAR
from banger.tar.write import gathered
from banger.workspace.basemaking import PutIn, save_base
from banger.workspace.facts import ImportPlan, Progress, RepositoryFacts, Submodule, WorkFile
from banger.workspace.guestindex import guest_index
from banger.workspace.history import common_dir
from banger.workspace.names import parents
from banger.workspace.packing import Material, gather_material, make_pack
from banger.workspace.skeleton import git_dir_chunks, render_files
from banger.workspace.tarstream import SentFile, work_tree_chunks


@dataclass(frozen=True)
class Transfer:
    """The destination of an import, or of a part of it."""

    guest: GuestFiles
    facts: RepositoryFacts
    staging: str
    deadline_s: float

    def within(self, submodule: Submodule) -> Transfer:
        """Return the destination of a submodule's contents."""
        return replace(
            self,
            facts=submodule.facts,
            staging=f"{self.staging}/{os.fsdecode(submodule.name)}",
        )


async def send_repository(transfer: Transfer, directory: Path, bases: Path, count: Count) -> str:
    """Send everything into the staging directory; return the id of the base."""
    facts = transfer.facts
    material = await gather_material(facts, directory)
    if facts.is_plain:
        put_in = await _send_tree(transfer, material, count)
        return await save_base(facts, put_in, index=None, directory=directory, bases=bases)
    async with _packing(facts, material) as packing:
        put_in = await _send_tree(transfer, material, count)
        base = await save_base(
            facts, put_in, index=material.index, directory=directory, bases=bases
        )
        files = render_files(facts)
        await _send_git_dir(transfer, material, put_in, files=files, packing=packing)
    await _send_large_files(transfer, count)
    await _send_submodules(transfer, directory, count)
    return base


async def _send_submodules(transfer: Transfer, directory: Path, count: Count) -> None:
    for number, submodule in enumerate(transfer.facts.with_contents):
        inner = ensure_private_dir(directory / f"submodule-{number}")
        await _send_submodule(transfer.within(submodule), inner, count)


async def _send_submodule(transfer: Transfer, directory: Path, count: Count) -> None:
    facts = transfer.facts
    material = await gather_material(facts, directory)
    async with _packing(facts, material) as packing:
        put_in = await _send_tree(transfer, material, count)
        files = render_files(facts, is_workspace=False)
        await _send_git_dir(transfer, material, put_in, files=files, packing=packing)
    await _send_large_files(transfer, count)
    await _send_submodules(transfer, directory, count)


class Count:
    """The files and bytes sent so far, reported to the progress callback."""

    def __init__(self, plan: ImportPlan, progress: Progress) -> None:
        self.files = 0
        self.bytes = 0
        self._total = plan.bytes
        self._progress = progress

    def add(self, file: SentFile) -> None:
        """Count a file of a work tree."""
        self.files += 1
        self.bytes += file.size

    def add_large(self, file: SentFile) -> None:
        """Count an LFS object, which is no file of a work tree."""
        self.bytes += file.size

    def tell(self) -> None:
        self._progress("workspace", self.bytes, self._total)


@contextlib.asynccontextmanager
async def _packing(facts: RepositoryFacts, material: Material) -> AsyncIterator[asyncio.Task[Path]]:
    """Make the pack in a task during the block; cancel the task on leaving."""
    task = asyncio.create_task(make_pack(facts, material))
    try:
        yield task
    finally:
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _send_tree(transfer: Transfer, material: Material, count: Count) -> PutIn:
    """Send the work tree and list the resulting files in the guest."""
    guest, staging, deadline_s = transfer.guest, transfer.staging, transfer.deadline_s
    sent: dict[bytes, SentFile] = {}

    def add(file: SentFile) -> None:
        sent[file.name] = file
        count.add(file)

    stream = _tar_of(transfer.facts, _sources(transfer.facts, material), add, count)
    # Close the stream here, since it reads files below the temporary directory.
    async with contextlib.aclosing(stream) as chunks:
        await guest.tar_in(staging, chunks, empty_first=True, deadline_s=deadline_s)
    names = {above for name in sent for above in parents(name)}
    entries = await guest.list_directories(staging, [b"", *sorted(names)], deadline_s=deadline_s)
    return PutIn(sent, {entry.name: entry for entry in entries})


async def _send_large_files(transfer: Transfer, count: Count) -> None:
    """Send the objects of Git LFS into `.git`."""
    facts, guest = transfer.facts, transfer.guest
    if facts.history is None or not facts.history.large_files:
        return
    sources = iter([(common_dir(facts.places), facts.history.large_files)])
    stream = _tar_of(facts, sources, count.add_large, count)
    async with contextlib.aclosing(stream) as chunks:
        await guest.tar_in(
            f"{transfer.staging}/.git", chunks, empty_first=False, deadline_s=transfer.deadline_s
        )


async def _tar_of(
    facts: RepositoryFacts,
    sources: Iterator[tuple[Path, tuple[WorkFile, ...]]],
    on_file: Callable[[SentFile], None],
    count: Count,
) -> AsyncGenerator[bytes, None]:
    """Yield the tar of the files of these directories."""
    object_format = facts.places.object_format
    for top, files in sources:
        tree = work_tree_chunks(top, files, on_file=on_file, object_format=object_format)
        async with contextlib.aclosing(threaded(gathered(tree))) as chunks:
            async for chunk in chunks:
                count.tell()
                yield chunk
    yield END_OF_TAR
    count.tell()


async def _send_git_dir(
    transfer: Transfer,
    material: Material,
    put_in: PutIn,
    *,
    files: Mapping[bytes, bytes],
    packing: asyncio.Task[Path],
) -> None:
    """Send `.git`, with the pack once ready, and an index with the guest's stat data."""
    facts, index = transfer.facts, material.index
    if index is not None:
        index = await asyncio.to_thread(guest_index, facts, index, put_in)
    entries = git_dir_chunks(
        files,
        index=index,
        index_mtime_s=material.index_mtime_s,
        pack=await packing,
        is_partial=facts.lacks_objects,
    )
    async with contextlib.aclosing(threaded(whole_tar(gathered(entries)))) as chunks:
        await transfer.guest.tar_in(
            transfer.staging, chunks, empty_first=False, deadline_s=transfer.deadline_s
        )


def whole_tar(chunks: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """Yield the chunks, and the end of a tar."""
    yield from chunks
    yield END_OF_TAR


def _sources(
    facts: RepositoryFacts, material: Material
) -> Iterator[tuple[Path, tuple[WorkFile, ...]]]:
    """Yield each tree with its files; for `--from`, the work tree provides the untracked files."""
    if material.tree == facts.top:
        yield facts.top, facts.files
        return
    extra = set(facts.untracked) if facts.untracked_included else set()
    yield material.tree, tuple(file for file in facts.files if file.name not in extra)
    yield facts.top, tuple(file for file in facts.files if file.name in extra)


async def threaded(chunks: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    """Yield from a blocking iterator, which runs one chunk ahead in a thread."""
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
