"""Files that hold an image: `docker save`, OCI layouts (a directory or a tar of one), root tars.

    a directory                                 an OCI layout
    a tar with manifest.json at its top         an archive of `docker save`
    ... with index.json and oci-layout          an OCI layout
    ... with ID/layer.tar                       an archive of an old `docker save` (`dockerv1`)
    any other tar                               the root itself, as one layer

Each may be packed with gzip or zstd, and come through a pipe. A tar that has to be read in
any order is then unpacked, a pipe first copied, into a nameless file in the staging directory.
Everything in it is foreign: bounded, parsed by `images.content`, and named files are only looked up
in the archive (F1).
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from banger.errors import ImageInvalid, ImageUnsupported, InvalidRequest
from banger.host.files import space_errors
from banger.images.content import (
    CONFIG_BYTES_MAX,
    INDEX_TYPES,
    MANIFEST_BYTES_MAX,
    Descriptor,
    Index,
    Manifest,
    parse_manifest_or_index,
    require_same_layers,
)
from banger.images.layers.dockerv1 import REPOSITORIES, is_layer_tar, open_v1
from banger.images.layers.files import (
    DirectoryFiles,
    Files,
    TarFiles,
    get_file,
    parse_host_config,
    read_whole,
)
from banger.images.layers.index import next_entry
from banger.images.layers.limits import TAR_BYTES_MAX
from banger.images.layers.unpacking import CHUNK_BYTES, Blob, TarStream
from banger.images.layers.work import Contents, Layer, Report, open_blob
from banger.images.platforms import choose_manifest, host_platform, is_for
from banger.tar.format import BLOCK, shown
from banger.tar.header import is_header

DOCKER_MANIFEST = "manifest.json"
OCI_INDEX = "index.json"
_OF_DOCKER, _OF_OCI = {b"manifest.json"}, {b"index.json", b"oci-layout"}
ARCHIVE_ENTRIES_MAX = 2048
"""A tar that has not shown by then that it is an archive is a root."""
INDEX_DEPTH_MAX = 3
SQUASHFS_MAGIC = b"hsqs"


def open_archive(path: str, *, staged: Path, report: Report) -> Contents:
    """Return what is in a file, a directory, or a pipe.

    Raises:
        InvalidRequest: it cannot be read.
        ImageInvalid, ImageUnsupported: it is no image, or none for this machine.
        NoSpace: it has to be copied, and there is no room.
    """
    if os.path.isdir(path):
        return _open_image(DirectoryFiles(path), path)
    blob = _open_file(path, staged, report)
    if not blob.size:
        raise ImageInvalid("The archive is empty.")
    _require_tar(blob, path)
    stream = TarStream(blob)
    if not _is_archive(stream):
        return Contents([Layer(blob, None)], None, None)
    if stream.is_packed:
        unpacked = TarStream(blob)
        blob = _keep(iter(lambda: unpacked.read(CHUNK_BYTES), b""), staged, report)
    return _open_image(TarFiles(blob), path)


def _open_file(path: str, staged: Path, report: Report) -> Blob:
    try:
        is_pipe = stat.S_ISFIFO(os.stat(path).st_mode)
        if not is_pipe:
            return open_blob(path)
        with open(path, "rb", buffering=0) as pipe:
            return _keep(iter(lambda: pipe.read(CHUNK_BYTES), b""), staged, report)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error


def _keep(pieces: Iterable[bytes], staged: Path, report: Report) -> Blob:
    """Put a stream into a file that nobody else can name, and that is gone when we are."""
    size = 0
    with space_errors(staged), tempfile.TemporaryFile(dir=staged, buffering=0) as file:
        for piece in pieces:
            size += len(piece)
            if size > TAR_BYTES_MAX:
                raise ImageInvalid(f"The archive is larger than {TAR_BYTES_MAX // 2**30} GiB.")
            left = memoryview(piece)
            while left:
                left = left[file.write(left) :]
            report("reading the archive", size, None)
        return Blob(os.dup(file.fileno()), 0, size)


def _require_tar(blob: Blob, path: str) -> None:
    """Check that a file begins as a tar does.

    Raises:
        ImageInvalid: it does not.
    """
    first = TarStream(blob).read(BLOCK)
    if first.startswith(SQUASHFS_MAGIC):
        raise ImageInvalid(
            f"{_called(path)} is a squashfs, not an archive.", hint="banger image register --help"
        )
    if not is_header(first):
        raise ImageInvalid(f"{_called(path)} is not an image archive.")


def _called(path: str) -> str:
    """Return a path for a message; a pipe's own means nothing to its user."""
    return "The input" if path.startswith("/proc/") else path


def _is_archive(stream: TarStream) -> bool:
    """Tell by the names at its top whether a tar holds an image."""
    seen: set[bytes] = set()
    for _ in range(ARCHIVE_ENTRIES_MAX):
        entry = next_entry(stream)
        if entry is None:
            return False
        seen.add(entry.path)
        if seen >= _OF_DOCKER or seen >= _OF_OCI or is_layer_tar(entry.path):
            return True
    return False


def _open_image(files: Files, path: str) -> Contents:
    if docker := files.find(DOCKER_MANIFEST):
        return _open_docker(files, docker)
    if index := files.find(OCI_INDEX):
        return _open_layout(files, read_whole(index, MANIFEST_BYTES_MAX, OCI_INDEX))
    if repositories := files.find(REPOSITORIES):
        return open_v1(files, repositories)
    raise ImageInvalid(
        f"{_called(path)} is not an image: it has no manifest.json, index.json or repositories."
    )


# --- docker save -------------------------------------------------------------------


class _DockerImage(Struct, rename="pascal"):
    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


def _open_docker(files: Files, manifest: Blob) -> Contents:
    untrusted = read_whole(manifest, MANIFEST_BYTES_MAX, DOCKER_MANIFEST)
    try:
        images = msgspec.json.decode(untrusted, type=list[_DockerImage])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ImageInvalid(f"manifest.json cannot be read: {error}.") from error
    if len(images) != 1:
        tags = [shown(t.encode()) for image in images for t in image.repo_tags or [image.config]]
        raise ImageUnsupported(
            f"The archive must hold one image; it has {len(images)}: {', '.join(tags[:10])}."
        )
    (image,) = images
    config = parse_host_config(
        read_whole(get_file(files, image.config), CONFIG_BYTES_MAX, image.config)
    )
    if len(image.layers) != len(config.diff_ids):
        raise ImageInvalid("manifest.json and the image's configuration disagree about the layers.")
    layers = [
        Layer(get_file(files, name), diff_id)
        for name, diff_id in zip(image.layers, config.diff_ids, strict=True)
    ]
    return Contents(layers, config, image.repo_tags[0] if image.repo_tags else None)


# --- OCI layouts -------------------------------------------------------------------


def _open_layout(files: Files, untrusted_index: bytes) -> Contents:
    document = parse_manifest_or_index(untrusted_index, media_type=None)
    for _ in range(INDEX_DEPTH_MAX):
        if isinstance(document, Manifest):
            break
        chosen = _choose(document)
        media_type = chosen.media_type or None
        document = parse_manifest_or_index(
            _read_verified(files, chosen, MANIFEST_BYTES_MAX), media_type=media_type
        )
    if not isinstance(document, Manifest):
        raise ImageInvalid("The layout's index contains no image.")
    config = parse_host_config(_read_verified(files, document.config, CONFIG_BYTES_MAX))
    require_same_layers(document, config)
    layers = [
        Layer(_get_sized(files, layer), diff_id)
        for layer, diff_id in zip(document.layers, config.diff_ids, strict=True)
    ]
    return Contents(layers, config, None)


def _choose(index: Index) -> Descriptor:
    """Return the manifest, or the index, of the one image in a layout.

    Raises:
        ImageUnsupported: there are several, or none for this machine.
    """
    host = host_platform()
    offers = [
        entry.descriptor
        for entry in index.entries
        if entry.platform is None
        or entry.descriptor.media_type in INDEX_TYPES
        or is_for(entry.platform, host)
    ]
    if len({offer.digest for offer in offers}) > 1:
        raise ImageUnsupported(f"The layout must hold one image; it has {len(offers)}.")
    return offers[0] if offers else choose_manifest(index, host)


def _get_sized(files: Files, descriptor: Descriptor) -> Blob:
    blob = get_file(files, f"blobs/sha256/{descriptor.hex}")
    if blob.size != descriptor.size:
        raise ImageInvalid(
            f"{descriptor.digest} has {blob.size} bytes, not {descriptor.size} as the image says."
        )
    return blob


def _read_verified(files: Files, descriptor: Descriptor, limit: int) -> bytes:
    content = read_whole(_get_sized(files, descriptor), limit, descriptor.digest)
    if hashlib.sha256(content).hexdigest() != descriptor.hex:
        raise ImageInvalid(f"The content of {descriptor.digest} does not match its digest.")
    return content
