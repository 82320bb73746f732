"""Kernels and the initramfs: of a distribution's package, a user's files or a URL; by digest."""

from banger.kernels.building import KernelSource, build_kernel
from banger.kernels.catalogue import KERNELS, PackagedKernel
from banger.kernels.fetching import parse_remote, propose_name
from banger.kernels.importing import (
    KernelFiles,
    fetch_kernel,
    import_kernel,
)
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

__all__ = [
    "KERNELS",
    "KernelFiles",
    "KernelSource",
    "Order",
    "PackagedKernel",
    "build_kernel",
    "carries_agent",
    "fetch_kernel",
    "find_kernel",
    "get_kernel",
    "import_kernel",
    "is_current",
    "kernel_dir",
    "list_kernels",
    "load_form",
    "parse_remote",
    "propose_name",
    "pull_kernel",
    "remove_kernel",
    "renew_kernel",
    "require_pullable",
]
