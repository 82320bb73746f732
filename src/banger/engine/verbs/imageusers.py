"""The users of an image: VMs, by the digest in their records, and operations (C4).

The pool's clones are not named: the deletion of an image drains the pool first.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from banger import images, store
from banger.engine.state.engine import Engine
from banger.engine.state.operations import Operation
from banger.engine.state.pins import needing
from banger.errors import InvalidRequest, ReferenceInvalid
from banger.images import registry
from banger.model.artifacts import Image
from banger.model.vm import Pooled, VmRecord


@dataclass(frozen=True)
class ImageUsers:
    """The users of all images at one moment."""

    needs: dict[str, str]
    """What each operation needs, by name or digest."""
    meant: dict[str, str]
    """The digests of those that are here."""
    records: list[VmRecord]

    def vms(self, image: Image) -> list[str]:
        """Return the names of the VMs that an image is in."""
        users = [record for record in self.records if record.spec.image == image.digest]
        return [user.spec.name for user in users if not isinstance(user.role, Pooled)]

    def is_used(self, image: Image) -> bool:
        """Tell whether anything uses an image, a clone of the pool's, too."""
        in_records = any(record.spec.image == image.digest for record in self.records)
        return in_records or bool(self.operations(image))

    def operations(self, image: Image) -> list[str]:
        """Return the operations that need what may be this image: its name may have moved."""
        return [
            user
            for user, ref in self.needs.items()
            if self.meant.get(user) == image.digest or _may_mean(ref, image)
        ]


@contextlib.asynccontextmanager
async def needing_image(engine: Engine, op: Operation, ref: str) -> AsyncIterator[None]:
    """Keep whatever image a name, a reference or a digest means from being removed for a block."""
    async with needing(engine, op, engine.image_needs, ref):
        yield


async def load_image_users(engine: Engine) -> ImageUsers:
    """Return who uses images. For a removal, which holds `Engine.removals`, and what lists."""
    # First the operations: what one of them has recorded meanwhile is seen in the records.
    needs = dict(engine.image_needs)
    meant = await asyncio.to_thread(_find_all, engine, needs)
    return ImageUsers(needs, meant, await engine.database.read(store.load_vms))


def _find_all(engine: Engine, needs: dict[str, str]) -> dict[str, str]:
    meant = {}
    for user, ref in needs.items():
        with contextlib.suppress(InvalidRequest):
            if image := images.find_image(engine.layout, ref):
                meant[user] = image.digest
    return meant


def _may_mean(ref: str, image: Image) -> bool:
    if ref == image.name or image.digest.startswith(ref):
        return True
    with contextlib.suppress(ReferenceInvalid):
        return registry.parse_reference(ref).familiar == image.name
    return False
