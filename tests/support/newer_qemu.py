"""The QEMU of Debian 12's backports, unpacked into the tests' cache: a second version to test with.

Fetched as the packages of images are. Only the program is kept: what else it needs is what the
host's own QEMU needs, of the same distribution.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from banger.host.http.proxies import render_proxies
from banger.host.mmdebstrap import Bootstrap, bootstrap
from banger.vmm.qemu.tools import PROGRAM, TOOLS
from tests.kvm.cache import cached, content_hash

VARIABLE = "BANGER_TEST_QEMU"
"""Names another QEMU instead, by its path."""

# The archive that has the suite also has its backports.
ADD_BACKPORTS = """--setup-hook=cd "$1/etc/apt" && \
sed -n 's/ \\({suite}\\) main/ \\1-backports main/p' sources.list >sources.list.d/backports.list"""


async def ensure_newer_qemu(cache: Path, suite: str) -> Path:
    """Return the program, unpacked from the packages of a suite's backports."""

    async def make(directory: Path) -> None:
        await bootstrap(
            _request(suite),
            consume=lambda descriptor: _take_program(descriptor, directory),
            on_stage=lambda stage: None,
        )

    name = f"kvm-qemu-{content_hash(Path(__file__).read_bytes(), suite.encode())}"
    return await cached(cache, name, make) / PROGRAM


def _request(suite: str) -> Bootstrap:
    package = TOOLS[0].packages[0]
    assert package
    return Bootstrap(
        suite=suite,
        variant="extract",
        packages=(package,),
        options=(
            ADD_BACKPORTS.format(suite=suite),
            f'--aptopt=APT::Default-Release "{suite}-backports"',
        ),
        proxies=render_proxies(os.environ),
    )


def _take_program(descriptor: int, directory: Path) -> None:
    """Keep the program of a tar stream, which is read to its end."""
    with (
        open(descriptor, "rb", closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        for member in archive:
            if member.name == f"./usr/bin/{PROGRAM}" and (source := archive.extractfile(member)):
                with open(directory / PROGRAM, "xb") as target:
                    shutil.copyfileobj(source, target)
                (directory / PROGRAM).chmod(0o755)
        while stream.read(1 << 20):
            pass
