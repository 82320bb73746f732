"""The parts of a kernel that do not depend on our agent: chosen, checked and staged.

Writes below the staging directory that the caller gives; synchronous, for a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from banger.errors import KernelUnfit
from banger.host.files import space_errors
from banger.kernels.catalogue import needs_of
from banger.kernels.kconfig import parse_kconfig, plan_modules
from banger.kernels.modules import (
    BadModule,
    Module,
    canonical,
    order_modules,
    parse_module,
    unpack_module,
)
from banger.kernels.package import Package
from banger.kernels.vmlinux import BadKernel, unpack_kernel

BZIMAGE, VMLINUX, CONFIG, INITRAMFS, MODULES = (
    "bzimage",
    "vmlinux",
    "config",
    "initramfs",
    "modules",
)


@dataclass(frozen=True)
class Parts:
    """What a staged kernel is, before the agent joins it."""

    name: str
    version: str
    arch: str
    modules: tuple[str, ...]
    """File names in load order."""


def save_parts(package: Package, staged: Path, *, name: str, arch: str) -> Parts:
    """Write kernel, configuration and the needed modules below `staged`."""
    order = _choose_modules(package, arch)
    with space_errors(staged):
        (staged / MODULES).mkdir()
        for module in order:
            (staged / MODULES / f"{module.name}.ko").write_bytes(_read_module(package, module.name))
        try:
            (staged / VMLINUX).write_bytes(unpack_kernel(package.kernel, arch=arch))
        except BadKernel as error:
            raise KernelUnfit(f"The kernel {package.version} cannot be used: {error}.") from error
        (staged / BZIMAGE).write_bytes(package.kernel)
        (staged / CONFIG).write_text(package.config, "utf-8")
    files = tuple(f"{module.name}.ko" for module in order)
    return Parts(name=name, version=package.version, arch=arch, modules=files)


def _choose_modules(package: Package, arch: str) -> list[Module]:
    """Return the modules that a guest needs, in load order.

    Raises:
        KernelUnfit: the kernel lacks something; everything that it lacks is named.
    """
    parsed: dict[str, Module] = {}

    def find(name: str) -> Module | None:
        if name not in parsed and name in package.modules:
            parsed[name] = parse_module(_read_module(package, name), name=name)
        return parsed.get(name)

    def has_module(name: str) -> bool:
        return canonical(name) in package.modules or canonical(name) in package.builtin

    wanted, lacking = plan_modules(
        needs_of(arch), parse_kconfig(package.config), has_module=has_module
    )
    wanted = [name for name in wanted if canonical(name) not in package.builtin]
    try:
        order, missing = order_modules(wanted, find=find)
    except BadModule as error:
        raise KernelUnfit(f"A module of {package.version} cannot be read: {error}.") from error
    lacking += [f"the module {name}" for name in missing if name not in package.builtin]
    lacking += [
        f"{module.name} for this version (it is for {module.vermagic.split(' ')[0]!r})"
        for module in order
        if module.vermagic.split(" ")[0] != package.version
    ]
    if lacking:
        raise KernelUnfit(
            f"The kernel {package.version} lacks {len(lacking)} of the things that guests need, "
            f"such as {lacking[0]}.",
            details="\n".join(lacking),
        )
    return order


def _read_module(package: Package, name: str) -> bytes:
    path = package.modules[name]
    return unpack_module(path.name, path.read_bytes())
