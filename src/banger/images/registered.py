"""Images whose root is a file of the user's, used without a copy.

A registered image has a directory in the store as any other, with a manifest alone; the file is
never written, moved or removed (A6). It is hashed when it is registered. Whenever a VM is to read
it, size and time are compared; where they differ it is hashed again, so a file that was only
touched still serves, and one that has changed is refused: templates and disks of VMs were made of
the other content (D5). What is done to the file while a VM reads it cannot be seen.

`promote_image` copies the file into the store. The root is put into the image's directory first
and the manifest replaced last: if the process dies between the two the image is a registered one
still.

Synchronous but for the two verbs; what reads the file belongs in a thread. No locks: the engine
has L4.
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from banger.artifacts.store import hash_file
from banger.errors import ImageChanged, InvalidRequest
from banger.host import programs
from banger.host.files import clone_file, space_errors, staged_dir
from banger.images.local import ROOT, image_root, open_store, require_image_name, take_root
from banger.images.publish import Progress, image_digest
from banger.images.superblock import parse_superblock
from banger.layout import Layout
from banger.model.artifacts import ExternalRoot, Image, ImageDraft

TOOL_DEADLINE_S = 60.0
HEAD_BYTES = 2048
_SYSTEMD = {"usr/lib/systemd/systemd", "lib/systemd/systemd"}
_INIT = {"sbin/init", "usr/sbin/init"}


async def register_image(
    layout: Layout, path: Path, *, name: str, init: str | None, progress: Progress, now: float
) -> Image:
    """Make an image of a squashfs file that stays where it is.

    `init` is a path in the guest, empty for none; None: it is looked for.

    Raises:
        InvalidRequest: the file cannot be read, or is no squashfs that a guest can mount.
        ImageChanged: it changed while it was read.
        ToolMissing, ToolFailed: of unsquashfs.
    """
    require_image_name(name)
    if init and (not init.startswith("/") or "\0" in init):
        raise InvalidRequest(f"The init {init!r} is not an absolute path.")
    path = Path(os.path.realpath(path))
    await asyncio.to_thread(_require_squashfs, path)
    if init is None:
        init = await _find_init(path)
    progress("hashing the root", None, None)
    before = path.stat()
    root_sha256 = await asyncio.to_thread(_hash, path)
    draft = ImageDraft(name=name, created_at=now, init=init or None, source=f"registered:{path}")
    image = Image(
        **{key: getattr(draft, key) for key in ImageDraft.__struct_fields__},
        digest=image_digest(draft, root_sha256),
        size_bytes=before.st_size,
        root=ROOT,
        root_sha256=root_sha256,
        external=ExternalRoot(path=str(path), mtime_ns=before.st_mtime_ns),
    )
    if _looks_changed(image):
        raise ImageChanged(f"{path} changed while it was read.", retryable=True)
    return await asyncio.to_thread(_publish, layout, image)


async def promote_image(layout: Layout, image: Image, progress: Progress) -> Image:
    """Copy a registered image's root into the store; from then on its file is not needed.

    One that is there already is left as it is.

    Raises:
        ImageChanged: the file is gone, or not what was registered.
        NoSpace: the file system is full.
    """
    if image.external is None:
        return image
    progress("copying the root", None, None)
    with staged_dir(layout.staging, prefix="image") as staged:
        await asyncio.to_thread(_copy, image, staged / ROOT)
        progress("hashing the root", None, None)
        if await asyncio.to_thread(hash_file, staged / ROOT) != image.root_sha256:
            raise changed(image)
        return await asyncio.to_thread(take_root, layout, image, staged / ROOT)


def require_root(layout: Layout, image: Image) -> Path:
    """Return the file that holds an image's root, which is what it was (D5). For threads.

    Raises:
        ImageChanged: it is a file of the user's and is gone or changed.
    """
    if image.external is not None and _looks_changed(image):
        path = Path(image.external.path)
        if not path.is_file() or _hash(path) != image.root_sha256:
            raise changed(image)
    return image_root(layout, image)


def changed(image: Image) -> ImageChanged:
    """Return the error for a registered image whose file is not what it was."""
    assert image.external is not None
    path = image.external.path
    fact = "has changed since it was registered" if os.path.lexists(path) else "is gone"
    return ImageChanged(
        f"The file of the image {image.name}, {path}, {fact}.",
        hint=f"banger image register {image.name} PATH",
    )


def _publish(layout: Layout, image: Image) -> Image:
    """Publish the manifest; a copy in the store is better than a file elsewhere, and stays."""
    store = open_store(layout)
    there = store.find(image.digest)
    if there is not None and there.external is not None:
        store.amend(image)
    with staged_dir(layout.staging, prefix="image") as staged:
        return store.publish(staged, image)


def _copy(image: Image, target: Path) -> None:
    assert image.external is not None
    with space_errors(target):
        try:
            clone_file(Path(image.external.path), target)
        except FileNotFoundError as error:
            raise changed(image) from error


def _looks_changed(image: Image) -> bool:
    assert image.external is not None
    try:
        status = os.stat(image.external.path)
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != (image.size_bytes, image.external.mtime_ns)


def _require_squashfs(path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidRequest(f"{path} is not a file.", hint="banger image register --help")
        with open(path, "rb") as file:
            untrusted_head = file.read(HEAD_BYTES)
        parse_superblock(untrusted_head, size=path.stat().st_size, what=str(path))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error


def _hash(path: Path) -> str:
    try:
        return hash_file(path)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.") from error


async def _find_init(path: Path) -> str | None:
    """Return the root's init if it is systemd, as for layers."""
    names = sorted(_SYSTEMD | _INIT)
    argv = ["unsquashfs", "-no-progress", "-l", "-d", "", str(path), *names]
    listed = await programs.run(argv, deadline_s=TOOL_DEADLINE_S)
    found = {line.strip("/") for line in listed.stdout.decode("utf-8", "replace").splitlines()}
    return "/sbin/init" if found & _SYSTEMD and found & _INIT else None
