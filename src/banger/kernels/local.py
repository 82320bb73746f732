"""Find, list and remove the kernels on disk. `artifacts/store.py` describes the format."""

from __future__ import annotations

from pathlib import Path

from banger.artifacts.store import ArtifactStore
from banger.errors import KernelNotFound, KernelUnfit
from banger.kernels.kconfig import parse_kconfig
from banger.layout import Layout
from banger.model.artifacts import Kernel, KernelForm
from banger.nearnames import format_near_hint


def open_store(layout: Layout) -> ArtifactStore[Kernel]:
    """Return the store of kernels; touch nothing."""
    return ArtifactStore(layout.kernels, staging=layout.staging, kind=Kernel)


def list_kernels(layout: Layout) -> list[Kernel]:
    """Return every kernel that is here."""
    return open_store(layout).list_all()


def find_kernel(layout: Layout, reference: str) -> Kernel | None:
    """Return the kernel of this name, digest or unique prefix of a digest, or None.

    A name means the newest kernel that was pulled under it, whatever agent it carries.
    """
    return open_store(layout).find(reference)


def get_kernel(layout: Layout, reference: str) -> Kernel:
    """As `find_kernel`.

    Raises:
        KernelNotFound: there is none.
    """
    kernel = find_kernel(layout, reference)
    if kernel is None:
        names = open_store(layout).names()
        hint = format_near_hint(reference, names, see="banger kernel list")
        raise KernelNotFound(f"There is no kernel {reference!r}.", hint=hint)
    return kernel


def is_current(layout: Layout, kernel: Kernel) -> bool:
    """Tell whether its name still means this kernel, and not one that has replaced it."""
    named = find_kernel(layout, kernel.name)
    return named is not None and named.digest == kernel.digest


def kernel_dir(layout: Layout, kernel: Kernel) -> Path:
    """Return the directory that the kernel's file names are relative to."""
    return open_store(layout).directory(kernel.digest)


def load_form(layout: Layout, kernel: Kernel) -> KernelForm:
    """Return what decides whether a driver boots a kernel.

    `has_option` raises KernelUnfit if the configuration cannot be read.
    """

    def has_option(option: str) -> bool:
        try:
            text = (kernel_dir(layout, kernel) / kernel.config).read_text("utf-8", "replace")
        except OSError as error:
            raise KernelUnfit(
                f"The configuration of the kernel {kernel.name} cannot be read: {error.strerror}.",
                hint=f"banger kernel show {kernel.name}",
            ) from error
        return parse_kconfig(text).get(option) == "y"

    return KernelForm(is_compressed=kernel.bzimage != kernel.vmlinux, has_option=has_option)


def remove_kernel(layout: Layout, kernel: Kernel) -> None:
    """Remove a kernel and its name; the caller has made sure that nobody uses it. Idempotent."""
    open_store(layout).remove(kernel.digest)
