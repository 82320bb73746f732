"""Images of layers that tests make."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tests.support.installations import Installation
from tests.support.tars import docker_archive, image_config

BUSYBOX = Path(shutil.which("busybox") or "/nonexistent")


def import_layers(banger: Installation, folder: Path, layers: list[bytes], **config: object) -> str:
    """Import an image under a name that goes with its content: runs share images."""
    archive = docker_archive(layers, config=image_config(layers, **config))
    name = f"test-{hashlib.sha256(archive).hexdigest()[:12]}"
    (folder / "image.tar").write_bytes(archive)
    banger.do("image", "import", "-q", folder / "image.tar", name)
    return name
