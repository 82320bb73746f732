"""A guest's root as a new image: the agent's tar, converted like a layer.

    guest.tar, then a layer of whiteouts --> images.layers --> root.squashfs --> store

The tar is kept whole first, since layers are read twice, and so that the guest is needed
no longer than it takes to read. It is as foreign as a registry's layers: the same parser and the
same limits (E2, F1), and a bound on its size before that. What makes the guest itself is
hidden by the second layer (D2, D6).

Everything lies in one staging directory, and a rename publishes the root alone (A9). No locks. If
the process dies, the directory is emptied at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from io import FileIO
from pathlib import Path

import msgspec

from banger.errors import ImageInvalid
from banger.host.files import space_errors
from banger.images.layers.entries import WHITEOUT
from banger.images.layers.messages import Job, LayerLine
from banger.images.layers.program import root_inode, write_root
from banger.images.platforms import host_platform
from banger.images.publish import Progress, publish_image
from banger.layout import Layout
from banger.model.artifacts import Image, ImageDraft
from banger.tar.format import END_OF_TAR, FILE
from banger.tar.write import header

READING = "reading the guest"
WRITE_BYTES = 1024 * 1024
TAR_BYTES_EXTRA = 512 * 2**20
"""Headers of as many files as an image may have, and of what is sparse a little."""

_TAR, _HIDING = "guest.tar", "hiding.tar"


async def keep_root_tar(
    staged: Path, untrusted_chunks: AsyncIterator[bytes], *, limit_bytes: int, progress: Progress
) -> None:
    """Keep a guest's root in `staged`, for `commit_image`.

    Raises:
        ImageInvalid: it is larger than what the guest can have.
        NoSpace: the file system is full.
    """
    kept = 0
    with _new_file(staged / _TAR) as file, space_errors(staged):
        async for piece in _in_pieces(untrusted_chunks):
            kept += len(piece)
            if kept > limit_bytes:
                raise ImageInvalid(
                    f"The guest's files take more than {limit_bytes // 2**30} GiB, with "
                    "sparse files counted in full.",
                    hint="banger vm exec VM -- find / -xdev -size +100M",
                )
            await asyncio.to_thread(_write_all, file, piece)
            progress(READING, kept, None)


async def commit_image(
    layout: Layout,
    staged: Path,
    base: Image,
    *,
    name: str,
    source: str,
    hidden: Iterable[str],
    stores: Iterable[str],
    progress: Progress,
    now: float,
) -> Image:
    """Publish the root that was kept in `staged`; how it is run it has of `base`.

    `hidden` are paths that the image is not to have, relative to its root. `stores` are directories
    that guests have beside the overlay of their root: containers' overlays are kept there.

    Raises:
        ImageInvalid, ImageUnsupported: the tar is not what it should be, or cannot be kept.
        ToolMissing, ToolFailed, NoSpace: the root cannot be written.
    """
    (staged / _HIDING).write_bytes(render_whiteouts(hidden))
    layers = _each(LayerLine(path=str(staged / part)) for part in (_TAR, _HIDING))
    job = Job(staged=str(staged), workdir=base.workdir, stores=tuple(stores))
    result = await write_root(job, layers, staged, progress)
    for part in (_TAR, _HIDING):
        (staged / part).unlink()
    draft = msgspec.structs.replace(
        _draft(base),
        name=name,
        created_at=now,
        init=base.init or result.init,
        has_programs=result.has_programs,
        source=source,
        platform=str(host_platform()),
        packages={},
        layers=(),
    )
    return await publish_image(layout, staged, draft, root_inode(result), progress)


def render_whiteouts(paths: Iterable[str]) -> bytes:
    """Return a layer that hides these paths of the layers below it."""
    entries = []
    for path in paths:
        above, _, name = path.encode().rpartition(b"/")
        whiteout = b"/".join(filter(None, (above, WHITEOUT + name)))
        entries.append(header(whiteout, FILE, mode=0, size=0, mtime_s=0))
    return b"".join((*entries, END_OF_TAR))


async def _in_pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what comes in pieces that are worth a thread's while."""
    held: list[bytes] = []
    size = 0
    async for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= WRITE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _new_file(path: Path) -> FileIO:
    return open(path, "xb", buffering=0)


def _write_all(file: FileIO, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[file.write(left) :]


async def _each(lines: Iterable[LayerLine]) -> AsyncIterator[LayerLine]:
    for line in lines:
        yield line


def _draft(image: Image) -> ImageDraft:
    return ImageDraft(**{key: getattr(image, key) for key in ImageDraft.__struct_fields__})
