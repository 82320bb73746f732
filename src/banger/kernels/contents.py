"""What is in a kernel's directory: the names of its files, and what is known of them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from banger.model.artifacts import KernelForm

BZIMAGE, VMLINUX, CONFIG, INITRAMFS, MODULES, TREE = (
    "bzimage",
    "vmlinux",
    "config",
    "initramfs",
    "modules",
    "modules.squashfs",
)

FindObstacle = Callable[[KernelForm], str | None]
"""Returns in one sentence why no driver boots such a kernel, or None."""


@dataclass(frozen=True)
class Parts:
    """What a staged kernel is, before the agent joins it."""

    name: str
    version: str
    arch: str
    source: str
    boot: str
    """File name of the kernel as it came: the compressed one, if there is one."""
    modules: tuple[str, ...]
    """File names in load order."""
    tree: str | None
    """File name of the module tree; None: everything is built in."""
    missed: tuple[str, ...]
    """What guests run without; a line each."""
