"""Merge layers in this process, and read the result with Python's tarfile."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from banger.images.layers.messages import Result
from banger.images.layers.unpacking import Blob
from banger.images.layers.work import Layer, write_layers
from tests.support.tars import digest


def merge(
    folder: Path, *layers: bytes, workdir: str = "", diff_ids: list[str | None] | None = None
) -> bytes:
    """Return the merged tar of layers, the lowest first."""
    return merge_result(folder, *layers, workdir=workdir, diff_ids=diff_ids)[0]


def merge_result(
    folder: Path, *layers: bytes, workdir: str = "", diff_ids: list[str | None] | None = None
) -> tuple[bytes, Result]:
    named = []
    for number, content in enumerate(layers):
        path = folder / f"layer{number}"
        path.write_bytes(content)
        fd = os.open(path, os.O_RDONLY)
        diff_id = diff_ids[number] if diff_ids else digest(content)
        named.append(Layer(Blob(fd, 0, len(content)), diff_id))
    output = folder / "merged.tar"
    try:
        with open(output, "wb") as file:
            result = write_layers(
                named, file.fileno(), staged=folder, workdir=workdir, report=lambda *_: None
            )
    finally:
        for layer in named:
            os.close(layer.blob.fd)
    return output.read_bytes(), result


def read(merged: bytes) -> dict[bytes, tarfile.TarInfo]:
    """Return the entries by name; no name may come twice."""
    found: dict[bytes, tarfile.TarInfo] = {}
    with tarfile.open(
        fileobj=io.BytesIO(merged), encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for member in tar:
            name = os.fsencode(member.name)
            assert name not in found
            found[name] = member
    return found


def names(merged: bytes) -> list[bytes]:
    """Return the sorted names of what is not only a mount point for the root's owner."""
    return sorted(name for name in read(merged) if name != b"proc")


def contents(merged: bytes) -> dict[bytes, bytes]:
    """Return the content of each regular file, hard links followed."""
    with tarfile.open(
        fileobj=io.BytesIO(merged), encoding="utf-8", errors="surrogateescape"
    ) as tar:
        found = {}
        for member in tar:
            if member.isreg() or member.islnk():
                file = tar.extractfile(member)
                assert file is not None
                found[os.fsencode(member.name)] = file.read()
        return found
