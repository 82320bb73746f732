"""Layers to one tar stream: index them side by side, merge, write.

Reads the layers' files and writes to one descriptor; keeps nothing on disk. Each layer is
indexed as soon as it is named, while the next may still be on its way.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from banger.errors import InvalidRequest, NoSpace
from banger.images.content import ImageConfig
from banger.images.layers.emit import plan_stream, write_stream
from banger.images.layers.index import LayerIndex, index_layer
from banger.images.layers.limits import Budget
from banger.images.layers.messages import Result
from banger.images.layers.root import find_init, has_program, require_mount_points
from banger.images.layers.tree import Tree
from banger.images.layers.unpacking import Blob
from banger.sizes import format_size
from banger.tar.format import END_OF_TAR

READERS = 2
"""Threads that index: unpacking and hashing leave Python's lock, parsing does not."""
WRITE_BYTES = 1024 * 1024
REPORT_BYTES = 16 * 1024 * 1024

Report = Callable[[str, int | None, int | None], None]


class Layer(Struct, frozen=True):
    """One layer of an image, somewhere in an open file."""

    blob: Blob
    diff_id: str | None
    may_be_empty: bool = False
    """Old Docker made a layer without an entry for each change of the configuration alone."""


class Contents(Struct, frozen=True):
    """What an archive holds: its layers, and the configuration if it is an image."""

    layers: Iterable[Layer]
    config: ImageConfig | None
    tag: str | None


def write_layers(
    layers: Iterable[Layer],
    output: int,
    *,
    staged: Path,
    workdir: str,
    report: Report,
    stores: Sequence[str] = (),
) -> Result:
    """Write the merged tar of the layers, the lowest first, and say what is in it.

    Raises:
        ImageInvalid, ImageUnsupported: a layer is not what it should be, or cannot be kept.
        NoSpace: the root would not fit.
    """
    budget = Budget()
    tree = Tree(budget, [os.fsencode(store) for store in stores])
    blobs: list[Blob] = []
    for number, index in enumerate(_index_all(layers, budget, report)):
        tree.apply_layer(index.entries, number)
        blobs.append(index.blob)
    if workdir.strip("/"):
        tree.ensure_directory(workdir.encode("utf-8", "surrogateescape"))
    require_mount_points(tree)
    plan = plan_stream(tree, len(blobs))
    _require_space(staged, plan.content_bytes)
    with _writing(output) as write:
        write_stream(plan, blobs, write, _in_steps(report, plan.content_bytes))
    root = tree.root.entry
    return Result(
        mode=root.mode,
        uid=root.uid,
        gid=root.gid,
        mtime=root.mtime,
        init=find_init(tree),
        has_programs=has_program(tree),
    )


def open_blob(path: str) -> Blob:
    """Return the whole of a regular file; it stays open for as long as this process lives.

    Raises:
        InvalidRequest: there is none.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(fd)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidRequest(f"{path} is not a file.")
    return Blob(fd, 0, status.st_size)


def _index_all(layers: Iterable[Layer], budget: Budget, report: Report) -> Iterator[LayerIndex]:
    """Yield the layers' indexes in order; a few are read at once, and no more are held."""
    with ThreadPoolExecutor(READERS) as pool:
        reading: list[Future[LayerIndex]] = []
        for number, layer in enumerate(layers, start=1):
            if len(reading) >= READERS:
                yield reading.pop(0).result()
            report("reading layers", number, None)
            index = functools.partial(
                index_layer, diff_id=layer.diff_id, may_be_empty=layer.may_be_empty
            )
            reading.append(pool.submit(index, layer.blob, budget))
        for future in reading:
            yield future.result()


def _require_space(staged: Path, content_bytes: int) -> None:
    """Check that the contents fit, before the first byte is written (A10).

    Raises:
        NoSpace: they do not.
    """
    status = os.statvfs(staged)
    if content_bytes > status.f_bavail * status.f_frsize:
        raise NoSpace(
            f"The image's files take {format_size(content_bytes // 2**20)}, more than is free.",
            hint=f"df -h {staged}",
        )


@contextlib.contextmanager
def _writing(output: int) -> Iterator[Callable[[bytes | memoryview], object]]:
    """Buffered writing to a pipe.

    sqfstar 4.5 ends at the end mark and may be gone before all of that is written.
    """
    stream = open(output, "wb", buffering=WRITE_BYTES, closefd=False)  # noqa: SIM115 - flushed below
    yield stream.write
    stream.flush()
    with contextlib.suppress(BrokenPipeError):
        os.write(output, END_OF_TAR)


def _in_steps(report: Report, total: int) -> Callable[[int], None]:
    reported = -REPORT_BYTES

    def on_bytes(written: int) -> None:
        nonlocal reported
        if written - reported >= REPORT_BYTES or written == total:
            reported = written
            report("writing the root", written, total)

    return on_bytes
