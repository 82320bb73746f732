"""Publish a written root of any origin as an image.

The root directory's inode is set, the root is hashed, the manifest is written last, and a
rename publishes both (A7-A9). The digest is a hash over the root and all that a VM is told
of it, so equal inputs give the same image, and two that differ in their init alone are two.

No locks: the engine has one per name; without it the first publisher wins (C3).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import msgspec

from banger.artifacts.store import hash_file
from banger.images.local import ROOT, is_intact, open_store, take_root
from banger.images.rootinode import RootInode, set_root_inode
from banger.layout import Layout
from banger.model.artifacts import Image, ImageDraft

Progress = Callable[[str, int | None, int | None], None]


async def publish_image(
    layout: Layout, staged: Path, draft: ImageDraft, inode: RootInode, progress: Progress
) -> Image:
    """Publish the root that lies in `staged` under the draft's name, and return the image.

    Raises:
        NoSpace: the file system is full.
    """
    progress("hashing the root", None, None)
    root = staged / ROOT
    await asyncio.to_thread(set_root_inode, root, inode)
    root_sha256 = await asyncio.to_thread(hash_file, root)
    image = Image(
        **msgspec.structs.asdict(draft),
        digest=image_digest(draft, root_sha256),
        size_bytes=root.stat().st_size,
        root=ROOT,
        root_sha256=root_sha256,
    )
    return await asyncio.to_thread(_publish, layout, staged, image)


def image_digest(draft: ImageDraft, root_sha256: str) -> str:
    """Return the digest of an image: over the root, and what a VM is told of it."""
    facts: dict[str, object] = {"root": root_sha256, "init": draft.init, "env": draft.env}
    for name in ("workdir", "user", "entrypoint", "cmd", "labels", "stop_signal", "recipe"):
        if value := getattr(draft, name):
            facts[name] = value
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _publish(layout: Layout, staged: Path, image: Image) -> Image:
    store = open_store(layout)
    there = store.find(image.digest)
    if there is not None and there.external is not None:
        take_root(layout, there, staged / ROOT)
    elif there is not None and not is_intact(layout, image):
        store.set_aside(image.digest)
    return store.publish(staged, image)
