"""A kernel from the distribution's signed package. Writes below the staging directory only."""

from __future__ import annotations

import asyncio
import platform
from pathlib import Path

from banger.errors import InvalidRequest
from banger.host.http.proxies import render_proxies
from banger.host.mmdebstrap import Bootstrap, bootstrap
from banger.kernels.catalogue import PackagedKernel
from banger.kernels.contents import Parts
from banger.kernels.package import take_package
from banger.kernels.parts import pack_tree, require_packer, save_parts
from banger.kernels.publish import Order


async def download_parts(packaged: PackagedKernel, staged: Path, order: Order) -> Parts:
    """Fetch a kernel's package, and save the parts that guests need of it below `staged`.

    Raises:
        InvalidRequest: there is no such kernel for this machine.
        ToolMissing: mmdebstrap, depmod or mksquashfs is not installed.
        ToolFailed, DeadlineExceeded: the package could not be fetched.
        KernelUnfit: it is not what a guest needs.
        NoSpace: the file system is full.
    """
    progress = order.progress
    arch = platform.machine()
    if arch not in packaged.packages:
        raise InvalidRequest(
            f"The kernel {packaged.name} does not exist for {arch}.",
            hint="banger kernel list --available",
        )
    require_packer()
    name = packaged.packages[arch]
    request = Bootstrap(
        suite=packaged.suite,
        variant="extract",
        packages=(name,),
        proxies=render_proxies(order.environ),
    )
    unpacked = staged / "unpacked"
    unpacked.mkdir()
    progress("fetching the kernel package", None, None)
    package = await bootstrap(
        request,
        consume=lambda descriptor: take_package(descriptor, unpacked),
        on_stage=lambda stage: progress(stage, None, None),
    )
    progress("unpacking the kernel", None, None)
    parts = await asyncio.to_thread(
        save_parts,
        package,
        staged,
        name=packaged.name,
        arch=arch,
        source=f"package:{name} of {packaged.suite}",
        find_obstacle=order.find_obstacle,
    )
    progress("packing the modules", None, None)
    await pack_tree(package, staged)
    return parts
