"""Archives of `docker save` before Docker 1.10: no manifest, and a directory for each layer.

    repositories          {"NAME": {"TAG": "ID"}}
    ID/json               how the image is run, and the ID of the layer below (`parent`)
    ID/layer.tar          the layer

Format: Docker image specification 1.0. Nothing in such an archive has a digest.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from banger.errors import ImageInvalid, ImageUnsupported
from banger.images.content import CONFIG_BYTES_MAX, LAYERS_MAX, MANIFEST_BYTES_MAX, ImageConfig
from banger.images.layers.files import Files, get_file, parse_host_config, read_whole
from banger.images.layers.unpacking import Blob
from banger.images.layers.work import Contents, Layer
from banger.tar.format import shown

REPOSITORIES = "repositories"
_LAYER_TAR = re.compile(rb"[0-9a-f]{64}/layer\.tar")

T = TypeVar("T")


class _LayerJson(Struct):
    parent: str | None = None
    architecture: str | None = None
    os: str | None = None
    config: Raw = Raw(b"null")


def is_layer_tar(path: bytes) -> bool:
    """Tell whether a file of a tar is where `docker save` puts layers. Pure."""
    return _LAYER_TAR.fullmatch(path) is not None


def open_v1(files: Files, repositories: Blob) -> Contents:
    """Return the image of an archive.

    Raises:
        ImageInvalid: the archive breaks its format.
        ImageUnsupported: it holds several images, or one for another platform.
    """
    tag, image_id = _choose(read_whole(repositories, MANIFEST_BYTES_MAX, REPOSITORIES))
    config = _parse_run_config(_read_layer(files, image_id))
    layers: list[Layer] = []
    layer_id: str | None = image_id
    while layer_id:
        if len(layers) == LAYERS_MAX:
            raise ImageInvalid(f"An image has more than {LAYERS_MAX} layers.")
        layers.append(Layer(get_file(files, f"{layer_id}/layer.tar"), None, may_be_empty=True))
        layer_id = _read_layer(files, layer_id).parent
    return Contents(layers[::-1], config, tag)


def _choose(untrusted: bytes) -> tuple[str, str]:
    """Return the first name of the only image, and the image's ID."""
    repositories = _decode(untrusted, dict[str, dict[str, str]], REPOSITORIES)
    found = {
        f"{name}:{tag}": image_id
        for name, tags in repositories.items()
        for tag, image_id in tags.items()
    }
    if len(set(found.values())) != 1:
        names = ", ".join(shown(name.encode()) for name in list(found)[:10])
        raise ImageUnsupported(
            f"The archive must hold one image; it has {len(set(found.values()))}: {names}."
        )
    return next(iter(found.items()))


def _read_layer(files: Files, layer_id: str) -> _LayerJson:
    name = f"{layer_id}/json"
    return _decode(read_whole(get_file(files, name), CONFIG_BYTES_MAX, name), _LayerJson, name)


def _parse_run_config(top: _LayerJson) -> ImageConfig:
    """Return the configuration as later versions write it; Docker began on amd64 alone."""
    document = {
        "architecture": top.architecture or "amd64",
        "os": top.os or "linux",
        "config": top.config,
        "rootfs": {"diff_ids": []},
    }
    return parse_host_config(msgspec.json.encode(document))


def _decode(untrusted: bytes, shape: type[T], name: str) -> T:
    try:
        return msgspec.json.decode(untrusted, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ImageInvalid(f"{shown(name.encode())} cannot be read: {error}.") from error
