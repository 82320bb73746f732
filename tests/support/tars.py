"""Tars, layers and image archives for tests: any header, also those that no tool would write."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = 512
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


@dataclass
class Member:
    """One entry; `name` and `link` are bytes or text, attributes of any bytes."""

    name: str | bytes
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = 1000
    link: str | bytes = ""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)
    pax: dict[str, str] = field(default_factory=dict)


def directory(name: str | bytes, mode: int = 0o755, **facts: object) -> Member:
    return Member(name, kind=tarfile.DIRTYPE, mode=mode, **facts)  # type: ignore[arg-type]  # a Member's


def symlink(name: str | bytes, target: str | bytes) -> Member:
    return Member(name, kind=tarfile.SYMTYPE, link=target, mode=0o777)


def hard_link(name: str | bytes, target: str | bytes) -> Member:
    return Member(name, kind=tarfile.LNKTYPE, link=target)


def make_tar(*members: Member, form: int = tarfile.PAX_FORMAT, end: bool = True) -> bytes:
    """Return a tar as Python's tarfile writes it; without its end mark if `end` is false."""
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=form, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for member in members:
            tar.addfile(_tarinfo(member), io.BytesIO(member.data))
        size = tar.offset
    content = buffer.getvalue()
    return content if end else content[:size]


def _tarinfo(member: Member) -> tarfile.TarInfo:
    info = tarfile.TarInfo(os.fsdecode(member.name))
    info.linkname = os.fsdecode(member.link)
    info.size, info.mode, info.type = len(member.data), member.mode, member.kind
    info.uid, info.gid, info.mtime = member.uid, member.gid, member.mtime
    info.devmajor, info.devminor = member.device
    info.pax_headers = dict(member.pax)
    for name, value in member.xattrs.items():
        info.pax_headers[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
    return info


def mend_checksums(content: bytes) -> bytes:
    """Return a damaged tar in which each header's checksum is right again."""
    changed = bytearray(content)
    for at in range(0, len(changed) - BLOCK + 1, BLOCK):
        if changed[at + 257 : at + 262] == b"ustar":
            changed[at + 148 : at + 156] = b" " * 8
            changed[at + 148 : at + 156] = b"%06o\0 " % sum(changed[at : at + BLOCK])
    return bytes(changed)


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def image_config(
    layers: list[bytes], *, architecture: str = ARCHITECTURE, **config: object
) -> bytes:
    """Return the configuration of an image of these layers; keys as Docker writes them."""
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
            "config": config,
        }
    ).encode()


def docker_archive(
    layers: list[bytes], *, tag: str | None = "made:1", config: bytes | None = None
) -> bytes:
    """Return what `docker save` would write."""
    names = [f"{number:064x}/layer.tar" for number in range(len(layers))]
    config = image_config(layers) if config is None else config
    manifest = [{"Config": "c.json", "RepoTags": [tag] if tag else None, "Layers": names}]
    return make_tar(
        *(Member(name, layer) for name, layer in zip(names, layers, strict=True)),
        Member("c.json", config),
        Member("manifest.json", json.dumps(manifest).encode()),
    )


def docker_v1_archive(
    layers: list[bytes], *, tag: str | None = "made:1", **config: object
) -> bytes:
    """Return what `docker save` wrote before version 1.10; the lowest layer is the first."""
    members: list[Member] = []
    parent: str | None = None
    for number, layer in enumerate(layers):
        layer_id = f"{number + 1:064x}"
        is_top = number == len(layers) - 1
        above = {"id": layer_id, "os": "linux", "architecture": ARCHITECTURE}
        document = {**above, "parent": parent, "config": config if is_top else None}
        members += [
            directory(layer_id),
            Member(f"{layer_id}/VERSION", b"1.0"),
            Member(f"{layer_id}/json", json.dumps(document).encode()),
            Member(f"{layer_id}/layer.tar", layer),
        ]
        parent = layer_id
    name, _, version = (tag or "").partition(":")
    repositories = {name: {version: parent}} if tag else {}
    # Each layer is written below the one that it stands on.
    return make_tar(*members[::-1], Member("repositories", json.dumps(repositories).encode()))


def oci_files(
    blobs: list[tuple[str, bytes]], config: bytes, *, platform: bool = True
) -> dict[str, bytes]:
    """Return the files of an OCI layout with one image; blobs are (media type, content)."""

    def described(content: bytes, media_type: str) -> dict[str, object]:
        return {"mediaType": media_type, "digest": digest(content), "size": len(content)}

    kind = "application/vnd.oci.image"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": described(config, f"{kind}.config.v1+json"),
            "layers": [described(content, media_type) for media_type, content in blobs],
        }
    ).encode()
    entry = described(manifest, f"{kind}.manifest.v1+json")
    if platform:
        entry["platform"] = {"os": "linux", "architecture": ARCHITECTURE}
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(),
    }
    for content in (manifest, config, *(content for _, content in blobs)):
        files["blobs/sha256/" + digest(content).removeprefix("sha256:")] = content
    return files


def write_files(top: Path, files: dict[str, bytes]) -> Path:
    """Write files below a directory."""
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return top
