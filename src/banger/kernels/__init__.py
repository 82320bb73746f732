"""Kernels and the initramfs: from packages, a user's files or a URL; kept by digest.

Names are imported on first use: a daemon that makes none needs little of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from banger.lazynames import export_lazily

if TYPE_CHECKING:
    from banger.kernels.building import KernelSource, build_kernel
    from banger.kernels.catalogue import KERNELS, PackagedKernel
    from banger.kernels.fetching import parse_remote, propose_name
    from banger.kernels.importing import KernelFiles, fetch_kernel, import_kernel
    from banger.kernels.local import (
        find_kernel,
        get_kernel,
        is_current,
        kernel_dir,
        list_kernels,
        load_form,
        remove_kernel,
    )
    from banger.kernels.publish import Order
    from banger.kernels.pull import carries_agent, pull_kernel, renew_kernel, require_pullable

__getattr__ = export_lazily(
    __name__,
    {
        "building": "KernelSource build_kernel",
        "catalogue": "KERNELS PackagedKernel",
        "fetching": "parse_remote propose_name",
        "importing": "KernelFiles fetch_kernel import_kernel",
        "local": "find_kernel get_kernel is_current kernel_dir list_kernels "
        "load_form remove_kernel",
        "publish": "Order",
        "pull": "carries_agent pull_kernel renew_kernel require_pullable",
    },
)
