"""Kernels and the initramfs: from a distribution's package or a user's files, kept by digest."""

from banger.kernels.catalogue import KERNELS, PackagedKernel
from banger.kernels.importing import KernelFiles, import_kernel
from banger.kernels.pull import pull_kernel, require_pullable
from banger.kernels.shelf import (
    find_kernel,
    get_kernel,
    is_current,
    kernel_dir,
    list_kernels,
    remove_kernel,
)

__all__ = [
    "KERNELS",
    "KernelFiles",
    "PackagedKernel",
    "find_kernel",
    "get_kernel",
    "import_kernel",
    "is_current",
    "kernel_dir",
    "list_kernels",
    "pull_kernel",
    "remove_kernel",
    "require_pullable",
]
