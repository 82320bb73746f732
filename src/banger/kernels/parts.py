"""The parts of a kernel that do not depend on our agent: chosen, checked and staged.

Writes below the staging directory that the caller gives; synchronous, for a thread, but for
`pack_tree`, which runs depmod and mksquashfs.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from banger.errors import KernelUnfit
from banger.host import programs
from banger.host.files import space_errors
from banger.host.mmdebstrap import check_with_space
from banger.host.setup import require_programs
from banger.kernels.catalogue import needs_of
from banger.kernels.contents import (
    BZIMAGE,
    CONFIG,
    MODULES,
    TREE,
    VMLINUX,
    FindObstacle,
    Parts,
)
from banger.kernels.kconfig import Fit, parse_kconfig, plan_modules
from banger.kernels.modules import (
    BadModule,
    Module,
    canonical,
    map_aliases,
    order_modules,
    parse_module,
)
from banger.kernels.package import Package
from banger.kernels.vmlinux import BadKernel, is_elf, unpack_kernel
from banger.model.artifacts import KernelForm

PACK_DEADLINE_S = 600.0
DEPMOD_VERSION = "0.0"
"""Where depmod looks for a tree: it takes only numbers, and writes the version nowhere."""


def save_parts(
    package: Package,
    staged: Path,
    *,
    name: str,
    arch: str,
    source: str,
    find_obstacle: FindObstacle,
) -> Parts:
    """Write kernel, configuration and the needed modules below `staged`, and lists to the tree.

    Raises:
        KernelUnfit: it is no kernel, or lacks something; everything that it lacks is named.
        NoSpace: the file system is full.
    """
    modules = _parse_modules(package)
    fit, order = _choose_modules(package, modules, arch)
    boot = VMLINUX if is_elf(package.kernel) else BZIMAGE
    _require_bootable(package, find_obstacle)
    with space_errors(staged):
        _write_kernel(package, staged, arch)
        _write_files(package, staged, modules=order)
    return Parts(
        name=name,
        version=package.version,
        arch=arch,
        source=source,
        boot=boot,
        modules=tuple(f"{module.name}.ko" for module in order),
        tree=TREE if package.modules else None,
        missed=tuple(fit.missed),
    )


def _write_kernel(package: Package, staged: Path, arch: str) -> None:
    try:
        with open(staged / VMLINUX, "wb") as file:
            file.writelines(unpack_kernel(package.kernel, arch=arch))
    except BadKernel as error:
        raise KernelUnfit(f"The kernel {package.version} cannot be used: {error}.") from error


def _write_files(package: Package, staged: Path, *, modules: Sequence[Module]) -> None:
    (staged / MODULES).mkdir()
    for module in modules:
        shutil.copyfile(package.modules[module.name], staged / MODULES / f"{module.name}.ko")
    if not is_elf(package.kernel):
        (staged / BZIMAGE).write_bytes(package.kernel)
    (staged / CONFIG).write_text(package.config, "utf-8")
    for list_name, content in package.lists.items():
        (package.tree / list_name).write_bytes(content)


def require_packer() -> None:
    """Check that `pack_tree` can work.

    Raises:
        ToolMissing: depmod or mksquashfs is not installed.
    """
    require_programs("depmod", "mksquashfs")


async def pack_tree(package: Package, staged: Path) -> None:
    """Make the squashfs of a package's module tree, with the tables that modprobe reads, if it has
    modules; the tree goes.

    Raises:
        ToolMissing, ToolFailed, DeadlineExceeded: depmod or mksquashfs did not make it.
        NoSpace: the file system is full.
    """
    if package.modules:
        await _make_tables(package.tree, staged)
        argv = plan_mksquashfs(package.tree, staged / TREE, parse_kconfig(package.config))
        finished = await programs.run(argv, deadline_s=PACK_DEADLINE_S, ok=range(256))
        check_with_space(finished, str(staged / TREE))
    await asyncio.to_thread(shutil.rmtree, package.tree)


async def _make_tables(tree: Path, staged: Path) -> None:
    """Have depmod write the tables of modprobe to a tree of modules."""
    root = staged / "depmod"
    await asyncio.to_thread(_make_depmod_root, root, tree)
    finished = await programs.run(plan_depmod(root), deadline_s=PACK_DEADLINE_S, ok=range(256))
    check_with_space(finished, str(tree))
    await asyncio.to_thread(shutil.rmtree, root)


def _make_depmod_root(root: Path, tree: Path) -> None:
    """Make a root in which depmod finds the tree, and no configuration."""
    modules = root / "lib/modules"
    modules.mkdir(parents=True)
    (modules / DEPMOD_VERSION).symlink_to(tree)
    (root / "usr").symlink_to(".")  # some distributions' depmod looks below /usr
    (root / "config").mkdir()


def plan_depmod(root: Path) -> list[str]:
    """Return the arguments that make the tables of the tree in a root. Pure."""
    return ["depmod", "-b", str(root), "-C", f"{root}/config", DEPMOD_VERSION]


def plan_mksquashfs(tree: Path, target: Path, options: dict[str, str]) -> list[str]:
    """Return the arguments that make the same file of the same tree. Figures: ADR 0010. Pure."""
    zstd = options.get("SQUASHFS_ZSTD") == "y"
    compression = ("-comp", "zstd", "-Xcompression-level", "3")
    return [
        "mksquashfs",
        *(str(tree), str(target)),
        *("-quiet", "-no-progress", "-noappend", "-no-exports", "-no-xattrs", "-reproducible"),
        *("-all-root", "-root-mode", "755", "-mkfs-time", "0", "-all-time", "0"),
        *(compression if zstd else ("-noI", "-noD", "-noF", "-noX")),
    ]


def _require_bootable(package: Package, find_obstacle: FindObstacle) -> None:
    options = parse_kconfig(package.config)
    form = KernelForm(
        is_compressed=not is_elf(package.kernel),
        has_option=lambda option: options.get(option) == "y",
    )
    if obstacle := find_obstacle(form):
        raise KernelUnfit(obstacle, hint="banger kernel import NAME --kernel BZIMAGE")


def _parse_modules(package: Package) -> dict[str, Module]:
    """Return what each module says of itself, by canonical name."""
    try:
        return {
            name: parse_module(path.read_bytes(), name=name)
            for name, path in package.modules.items()
        }
    except BadModule as error:
        raise KernelUnfit(f"A module of {package.version} cannot be read: {error}.") from error


def _choose_modules(
    package: Package, modules: dict[str, Module], arch: str
) -> tuple[Fit, list[Module]]:
    """Return how the kernel fits, and the modules that a guest needs, in load order."""
    builtin = package.builtin

    def has_module(name: str) -> bool:
        return canonical(name) in modules or canonical(name) in builtin

    fit = plan_modules(needs_of(arch), parse_kconfig(package.config), has_module=has_module)
    wanted = [name for name in fit.modules if canonical(name) not in builtin]
    order, missing = order_modules(wanted, find=modules.get, aliases=map_aliases(modules.values()))
    lacking = fit.lacking + [f"the module {name}" for name in missing if name not in builtin]
    lacking += [
        f"{module.name} for this version (it is for {module.vermagic.split(' ')[0]!r})"
        for module in order
        if module.vermagic.split(" ")[0] != package.version
    ]
    if lacking:
        raise KernelUnfit(
            f"The kernel {package.version} lacks {len(lacking)} of the features that guests "
            f"need, such as {lacking[0]}.",
            details="\n".join(lacking),
            hint=None if modules else f"--modules /lib/modules/{package.version}",
        )
    return fit, order
