"""OCI image layouts, written by hand so that every byte of them is the test's own choice."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class MadeLayer:
    """A layer: the file that goes into a registry, and the digest of the tar in it."""

    media_type: str
    content: bytes
    diff_id: str


@dataclass
class OciLayout:
    """A layout below `root`; `tags` names its manifests and indexes."""

    root: Path
    entries: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.root / "blobs/sha256").mkdir(parents=True)
        (self.root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def add_image(
        self,
        layers: list[MadeLayer],
        *,
        tag: str | None = None,
        platform: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Add an image and return its descriptor; with a tag it can be named."""
        platform = platform or {"os": "linux", "architecture": "amd64"}
        document = {
            **platform,
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.add_blob(CONFIG, json.dumps(document).encode()),
            "layers": [self.add_blob(layer.media_type, layer.content) for layer in layers],
        }
        descriptor = self.add_blob(MANIFEST, json.dumps(manifest).encode())
        descriptor["platform"] = dict(platform)
        self._tag(descriptor, tag)
        return descriptor

    def add_index(self, manifests: list[dict[str, Any]], *, tag: str) -> dict[str, Any]:
        """Add an index of images and return its descriptor."""
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        descriptor = self.add_blob(INDEX, json.dumps(document).encode())
        self._tag(descriptor, tag)
        return descriptor

    def add_blob(self, media_type: str, content: bytes) -> dict[str, Any]:
        """Add bytes and return their descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self.root / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def _tag(self, descriptor: dict[str, Any], tag: str | None) -> None:
        if tag is not None:
            named = {"annotations": {"org.opencontainers.image.ref.name": tag}}
            self.entries.append({**descriptor, **named})
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.entries}
            (self.root / "index.json").write_text(json.dumps(index))


def make_layer(files: Mapping[str, bytes], *, compression: str = "gzip") -> MadeLayer:
    """Return a layer of plain files (mode 0755, owned by root)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return pack_layer(buffer.getvalue(), compression=compression)


def pack_layer(tar: bytes, *, compression: str = "gzip") -> MadeLayer:
    """Return a layer of a tar: none, gzip or zstd."""
    diff_id = f"sha256:{hashlib.sha256(tar).hexdigest()}"
    if compression == "gzip":
        return MadeLayer(f"{LAYER}+gzip", gzip.compress(tar, 1, mtime=0), diff_id)
    if compression == "zstd":
        return MadeLayer(f"{LAYER}+zstd", zstandard.compress(tar), diff_id)
    return MadeLayer(LAYER, tar, diff_id)
