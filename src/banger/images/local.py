"""Find, list and remove the images on disk. `artifacts/store.py` describes the format."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path

import msgspec

from banger.artifacts.store import ArtifactStore, hash_file
from banger.errors import ImageNotFound, InvalidRequest, ReferenceInvalid
from banger.host.files import fsync_dir, fsync_file
from banger.images.registry.reference import parse_reference
from banger.layout import Layout
from banger.model.artifacts import Image
from banger.nearnames import format_near_hint

log = logging.getLogger(__name__)

ROOT = "root.squashfs"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,150}")
"""As registries' references are: `busybox:1.36`, `host:5000/team/app@sha256:...`."""


def open_store(layout: Layout) -> ArtifactStore[Image]:
    """Return the store of images; touch nothing."""
    return ArtifactStore(layout.images, staging=layout.staging, kind=Image)


def require_image_name(untrusted: str) -> str:
    """Return a name that an image can be given.

    Raises:
        InvalidRequest: it is none.
    """
    if not _NAME.fullmatch(untrusted):
        raise InvalidRequest(
            f"{untrusted[:60]!r} is not a valid image name: only letters, digits and ._/:@- "
            "are allowed.",
            hint="banger image import FILE NAME",
        )
    return untrusted


def list_images(layout: Layout) -> list[Image]:
    """Return every image that is here."""
    return [image for image in open_store(layout).list_all() if _has_root(layout, image)]


def find_image(layout: Layout, reference: str) -> Image | None:
    """Return the image of this name, digest or unique prefix of a digest, or None.

    What came from a registry goes by any form of its reference: `alpine` is `alpine:latest`.

    An image whose root is missing, empty or cut short counts as not there, so it is
    built again (F3); that costs no read of the root, as `is_intact` does.
    """
    image = open_store(layout).find(reference)
    if image is None:
        with contextlib.suppress(ReferenceInvalid):
            image = open_store(layout).find(parse_reference(reference).familiar)
    return image if image is not None and _has_root(layout, image) else None


def get_image(layout: Layout, reference: str) -> Image:
    """As `find_image`.

    Raises:
        ImageNotFound: there is none.
    """
    image = find_image(layout, reference)
    if image is None:
        hint = format_near_hint(reference, image_names(layout), see="banger image list")
        raise ImageNotFound(f"There is no image {reference!r}.", hint=hint)
    return image


def image_root(layout: Layout, image: Image) -> Path:
    """Return the file that holds the image's root; read-only, shared by its VMs."""
    if image.external is not None:
        return Path(image.external.path)
    return open_store(layout).directory(image.digest) / image.root


def is_intact(layout: Layout, image: Image) -> bool:
    """Tell whether the root is what was built (F3). Reads all of it: for threads."""
    root = image_root(layout, image)
    return root.is_file() and hash_file(root) == image.root_sha256


def take_root(layout: Layout, image: Image, staged: Path) -> Image:
    """Move a copy of a registered image's root into the store; return the changed image.

    Raises:
        ImageNotFound: it was deleted meanwhile.
    """
    store = open_store(layout)
    stored = msgspec.structs.replace(image, external=None)
    fsync_file(staged)
    try:
        os.rename(staged, store.directory(image.digest) / image.root)
        fsync_dir(store.directory(image.digest))
        store.amend(stored)
    except FileNotFoundError as error:
        raise ImageNotFound(f"The image {image.name} was deleted.") from error
    return stored


def _has_root(layout: Layout, image: Image) -> bool:
    if image.external is not None:
        return True  # whether it is there still is told with the file's name, where it is used
    try:
        size = image_root(layout, image).stat().st_size
    except FileNotFoundError:
        size = -1
    if size != image.size_bytes:
        log.warning("the root of the image %s (%s) is damaged", image.name, image.digest)
    return size == image.size_bytes


def image_names(layout: Layout) -> dict[str, str]:
    """Return the digest of the image that each name means; an image may have several names."""
    here = {image.digest for image in list_images(layout)}
    return {name: d for name, d in open_store(layout).names().items() if d in here}


def named_digests(layout: Layout) -> frozenset[str]:
    """Return the digests of images that a name means; the others have been overtaken."""
    return open_store(layout).named()


def name_image(layout: Layout, image: Image, name: str) -> None:
    """Let a name mean this image from now on."""
    open_store(layout).point(name, image.digest)


def note_signer(layout: Layout, image: Image, signed_by: str) -> None:
    """Write down whose signature of an image has been verified since it was pulled."""
    store = open_store(layout)
    with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
        store.amend(msgspec.structs.replace(image, signed_by=signed_by))


def unname_image(layout: Layout, name: str) -> None:
    """Take a name from an image, which stays. Idempotent."""
    open_store(layout).unname(name)


def delete_image(layout: Layout, image: Image) -> None:
    """Remove an image and its names; the caller has made sure that nobody uses it. Idempotent."""
    open_store(layout).remove(image.digest)
