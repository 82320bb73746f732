"""Kernels and the initramfs: pulled from a distribution's package, kept by digest."""

from banger.kernels.catalogue import KERNELS, PackagedKernel
from banger.kernels.pull import pull_kernel, require_pullable
from banger.kernels.shelf import (
    find_kernel,
    get_kernel,
    kernel_dir,
    list_kernels,
    remove_kernel,
)

__all__ = [
    "KERNELS",
    "PackagedKernel",
    "find_kernel",
    "get_kernel",
    "kernel_dir",
    "list_kernels",
    "pull_kernel",
    "remove_kernel",
    "require_pullable",
]
