"""What an OCI or Docker image is made of: typed values, and parsers of the bytes they come from.

    index -> manifest -> configuration
                      -> layers

Pure. All bytes are from a registry or a file that somebody handed over: each parser
checks the size first, then the shape, then the values, and raises a typed error (F1, F5).
Formats: OCI image specification 1.1; Docker's image manifest version 2, schema 2. Unknown
members are ignored, as both say. Go writes `null` for what is empty, so `null` is an absent value.

A document that could be read as a manifest and as an index is refused: two readers of it
would run two images (CVE-2021-41190).
"""

from __future__ import annotations

import posixpath
import re
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from banger.errors import ImageInvalid, ImageUnsupported

MANIFEST_BYTES_MAX = 4 * 1024 * 1024
"""Of a manifest or an index; what the distribution specification asks registries to take."""
CONFIG_BYTES_MAX = 8 * 1024 * 1024
"""Histories make configurations grow; the largest seen in the wild are below 1 MiB."""
LAYERS_MAX = 512
"""Docker makes at most 127."""
INDEX_ENTRIES_MAX = 1024
BLOB_BYTES_MAX = 2**40

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"

INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
CONFIG_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_OTHER_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[A-Za-z0-9=_-]+")
_PLATFORM_WORD = re.compile(r"[A-Za-z0-9_.-]{0,64}")


class Compression(StrEnum):
    """How a layer's tar is packed."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


_LAYER_TYPES = {
    "application/vnd.oci.image.layer.v1.tar": Compression.NONE,
    "application/vnd.oci.image.layer.v1.tar+gzip": Compression.GZIP,
    "application/vnd.oci.image.layer.v1.tar+zstd": Compression.ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar": Compression.NONE,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": Compression.GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": Compression.ZSTD,
}


class Platform(Struct, frozen=True, kw_only=True):
    """What a machine must be to run an image."""

    os: str
    architecture: str
    """Go's word: amd64, arm64."""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(Struct, frozen=True, kw_only=True):
    """Where content is to be had, and what it must be."""

    media_type: str
    digest: str
    """`sha256:` and 64 hex digits; another algorithm is refused."""
    size: int

    @property
    def hex(self) -> str:
        return self.digest.removeprefix("sha256:")


class IndexEntry(Struct, frozen=True, kw_only=True):
    """One of the manifests that an index offers."""

    descriptor: Descriptor
    platform: Platform | None


class Index(Struct, frozen=True, kw_only=True):
    """Manifests of one image for several platforms; in an OCI layout, of several images."""

    entries: tuple[IndexEntry, ...]


class Manifest(Struct, frozen=True, kw_only=True):
    """An image: a configuration and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


class ImageConfig(Struct, frozen=True, kw_only=True):
    """What an image says of how it is to be run, and which layers it is made of."""

    architecture: str
    os: str
    diff_ids: tuple[str, ...]
    """Digests of the layers' tars, unpacked; the lowest first."""
    variant: str = ""
    env: dict[str, str] = {}
    working_dir: str = ""
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    exposed_ports: tuple[str, ...] = ()
    """As written: `80/tcp`."""
    stop_signal: str = ""

    @property
    def platform(self) -> Platform:
        return Platform(os=self.os, architecture=self.architecture, variant=self.variant)


class LayerBlob(Struct, frozen=True, kw_only=True):
    """A layer that is on this host: a file whose bytes have been verified against `digest`."""

    path: Path
    digest: str
    """Of the file, packed as it is."""
    diff_id: str
    """Of the tar in it."""
    compression: Compression
    size: int
    """Of the file."""


def parse_manifest_or_index(untrusted: bytes, *, media_type: str | None) -> Manifest | Index:
    """Return what a registry or an OCI layout has under a reference.

    `media_type` is what the bearer called it (a Content-Type, a descriptor); None when it
    did not. It must agree with the document's own.

    Raises:
        ImageInvalid: it is neither, or both, or breaks its format.
        ImageUnsupported: it is of a kind that we do not read.
    """
    _require_size(untrusted, MANIFEST_BYTES_MAX, "manifest")
    shape = _decode(untrusted, _Document, "manifest")
    kind = _kind_of(shape, media_type)
    if kind in MANIFEST_TYPES:
        return _parse_manifest(shape)
    if kind in INDEX_TYPES:
        return _parse_index(shape)
    raise ImageUnsupported(f"A manifest of type {kind[:100]!r} is not an image manifest.")


def parse_config(untrusted: bytes) -> ImageConfig:
    """Return an image's configuration.

    Raises:
        ImageInvalid: it breaks its format.
    """
    _require_size(untrusted, CONFIG_BYTES_MAX, "configuration")
    shape = _decode(untrusted, _Config, "configuration")
    run = shape.config or _RunConfig()
    if len(shape.rootfs.diff_ids) > LAYERS_MAX:
        raise ImageInvalid(f"An image has more than {LAYERS_MAX} layers.")
    return ImageConfig(
        architecture=_platform_word(shape.architecture),
        os=_platform_word(shape.os),
        variant=_platform_word(shape.variant or ""),
        diff_ids=tuple(parse_digest(digest) for digest in shape.rootfs.diff_ids),
        env=_parse_env(run.env or []),
        working_dir=_working_dir(run.working_dir),
        user=_word(run.user),
        entrypoint=_words(run.entrypoint),
        cmd=_words(run.cmd),
        labels=dict(run.labels or {}),
        exposed_ports=tuple(sorted(run.exposed_ports or {})),
        stop_signal=_word(run.stop_signal),
    )


def require_same_layers(manifest: Manifest, config: ImageConfig) -> None:
    """Check that manifest and configuration speak of the same number of layers.

    Raises:
        ImageInvalid: they do not.
    """
    if len(manifest.layers) != len(config.diff_ids):
        raise ImageInvalid(
            f"An image's manifest has {len(manifest.layers)} layers, "
            f"its configuration {len(config.diff_ids)}."
        )


def parse_compression(media_type: str) -> Compression:
    """Return how a layer of this media type is packed.

    Raises:
        ImageUnsupported: it is no layer that we can read, such as one that is not distributed.
    """
    compression = _LAYER_TYPES.get(media_type)
    if compression is None:
        raise ImageUnsupported(f"A layer of type {media_type[:100]!r} is not supported.")
    return compression


def parse_digest(untrusted: str) -> str:
    """Return a digest, which is one of sha256.

    Raises:
        ImageInvalid: it is none.
        ImageUnsupported: it is of another algorithm.
    """
    if _DIGEST.fullmatch(untrusted):
        return untrusted
    if _OTHER_DIGEST.fullmatch(untrusted) and not untrusted.startswith("sha256:"):
        algorithm = untrusted.partition(":")[0]
        raise ImageUnsupported(f"Digests of {algorithm[:40]} are not supported, only sha256.")
    raise ImageInvalid(f"{untrusted[:100]!r} is not a digest.")


# --- the documents as they are written -------------------------------------------


class _Platform(Struct, rename="camel"):
    os: str = ""
    architecture: str = ""
    variant: str | None = None


class _Descriptor(Struct, rename="camel"):
    digest: str
    size: int
    media_type: str | None = None
    platform: _Platform | None = None


class _Document(Struct, rename="camel"):
    """A manifest or an index; which of them is seen by what is there."""

    schema_version: int
    media_type: str | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | None = None
    fs_layers: object = None
    """Of Docker's schema 1."""


class _RunConfig(Struct, rename="pascal"):
    env: list[str] | None = None
    working_dir: str | None = None
    user: str | None = None
    entrypoint: list[str] | str | None = None
    cmd: list[str] | str | None = None
    labels: dict[str, str] | None = None
    exposed_ports: dict[str, object] | None = None
    stop_signal: str | None = None


class _RootFs(Struct):
    diff_ids: list[str]


class _Config(Struct):
    architecture: str
    os: str
    rootfs: _RootFs
    variant: str | None = None
    config: _RunConfig | None = None


T = TypeVar("T")


def _require_size(untrusted: bytes, limit: int, what: str) -> None:
    if len(untrusted) > limit:
        raise ImageInvalid(f"An image's {what} is larger than {limit // 2**20} MiB.")


def _decode(untrusted: bytes, shape: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(untrusted, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ImageInvalid(f"An image's {what} cannot be read: {error}.") from error


def _kind_of(shape: _Document, media_type: str | None) -> str:
    """Return the media type of a document, which its bearer, itself and its members agree on."""
    if shape.schema_version == 1 or (media_type or "").startswith(DOCKER_SCHEMA_1):
        raise ImageUnsupported(
            "Docker manifests of schema 1 are not supported; push the image again with a newer "
            "docker."
        )
    is_index = shape.manifests is not None
    is_manifest = shape.config is not None or shape.layers is not None
    if is_index == is_manifest or shape.fs_layers is not None:
        raise ImageInvalid("A document must be either a manifest or an index.")
    own = shape.media_type or media_type or (OCI_INDEX if is_index else OCI_MANIFEST)
    if media_type is not None and media_type != own:
        raise ImageInvalid(
            f"A document sent as {media_type[:100]!r} declares the type {own[:100]!r}."
        )
    if own in (MANIFEST_TYPES if is_index else INDEX_TYPES):
        raise ImageInvalid(f"A document lacks members that a {own!r} must have.")
    return own


def _parse_manifest(shape: _Document) -> Manifest:
    if shape.config is None or shape.layers is None:
        raise ImageInvalid("An image's manifest has no configuration, or no list of layers.")
    if len(shape.layers) > LAYERS_MAX:
        raise ImageInvalid(f"An image has more than {LAYERS_MAX} layers.")
    config = _parse_descriptor(shape.config)
    if config.media_type not in CONFIG_TYPES:
        raise ImageUnsupported(
            f"This is not an image: its configuration is a {config.media_type[:100]!r}."
        )
    if config.size > CONFIG_BYTES_MAX:
        raise ImageInvalid(
            f"An image's configuration is larger than {CONFIG_BYTES_MAX // 2**20} MiB."
        )
    layers = tuple(_parse_descriptor(layer) for layer in shape.layers)
    for layer in layers:
        parse_compression(layer.media_type)
    return Manifest(config=config, layers=layers)


def _parse_index(shape: _Document) -> Index:
    manifests = shape.manifests or []
    if len(manifests) > INDEX_ENTRIES_MAX:
        raise ImageInvalid(f"An index has more than {INDEX_ENTRIES_MAX} entries.")
    return Index(
        entries=tuple(
            IndexEntry(
                descriptor=_parse_descriptor(entry),
                platform=_parse_platform(entry.platform) if entry.platform else None,
            )
            for entry in manifests
        )
    )


def _parse_descriptor(shape: _Descriptor) -> Descriptor:
    if not 0 <= shape.size <= BLOB_BYTES_MAX:
        raise ImageInvalid(f"An image cannot contain an object of {shape.size} bytes.")
    return Descriptor(
        media_type=shape.media_type or "", digest=parse_digest(shape.digest), size=shape.size
    )


def _parse_platform(shape: _Platform) -> Platform:
    return Platform(
        os=_platform_word(shape.os),
        architecture=_platform_word(shape.architecture),
        variant=_platform_word(shape.variant or ""),
    )


def _platform_word(untrusted: str) -> str:
    if not _PLATFORM_WORD.fullmatch(untrusted):
        raise ImageInvalid(f"{untrusted[:70]!r} is not a platform name.")
    return untrusted


def _parse_env(untrusted: list[str]) -> dict[str, str]:
    """Return the variables; as in a shell, the last of a name wins."""
    pairs = (_word(entry).partition("=") for entry in untrusted)
    return {name: value for name, equals, value in pairs if name and equals}


def _working_dir(untrusted: str | None) -> str:
    """Return an absolute path without `..`; a relative one begins at the root, as for Docker."""
    path = _word(untrusted)
    return posixpath.normpath("/" + path.lstrip("/")) if path else ""


def _words(untrusted: list[str] | str | None) -> tuple[str, ...]:
    """Return a command; a text is a command of one word, as Docker reads it."""
    if isinstance(untrusted, str):
        untrusted = [untrusted]
    return tuple(_word(word) for word in untrusted or [])


def _word(untrusted: str | None) -> str:
    """Return a text that can be given to a program."""
    text = untrusted or ""
    if "\0" in text:
        raise ImageInvalid(f"An image's configuration has a NUL in {text[:60]!r}.")
    return text
