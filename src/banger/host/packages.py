"""The distribution package of each host tool, and the command that installs packages.

Tables and pure functions; only `find_package_manager` and `find_missing` look
at the machine (PATH, and whether Python can make virtual environments). Standard
library only: `scripts/` runs this with the system's Python before any
virtual environment exists.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from banger.host.programs import find_tool
from banger.host.tools import PackageManager, Tool
from banger.words import kind_packages

_INSTALL: dict[PackageManager, tuple[tuple[str, ...], ...]] = {
    PackageManager.APT: (
        ("apt-get", "update"),
        ("apt-get", "install", "-y", "--no-install-recommends"),
    ),
    PackageManager.DNF: (("dnf", "install", "-y"),),
    PackageManager.PACMAN: (("pacman", "-S", "--needed", "--noconfirm"),),
    PackageManager.ZYPPER: (("zypper", "--non-interactive", "install"),),
    PackageManager.APK: (("apk", "add"),),
}
"""The commands, in order; the packages are appended to the last command."""


def _load_kinds() -> tuple[Tool, ...]:
    """Return the tools of every kind of driver and network."""
    modules = [import_module(f"{package}.tools") for package in kind_packages()]
    return tuple(tool for module in modules for tool in module.TOOLS)


RUNTIME: tuple[Tool, ...] = (
    Tool("git", "inspects and exports workspaces", ("git",) * 5),
    *_load_kinds(),
    Tool("mmdebstrap", "builds images and kernels", ("mmdebstrap", None, None, None, None)),
    Tool(
        "newuidmap",
        "lets an ordinary user build images",
        ("uidmap", "shadow-utils", "shadow", "shadow", "shadow-uidmap"),
        others=("newgidmap",),
    ),
    Tool(
        "sqfstar",
        "packs images",
        ("squashfs-tools", "squashfs-tools", "squashfs-tools", "squashfs", "squashfs-tools"),
        others=("mksquashfs", "unsquashfs"),
        oldest=(4, 5),  # the first with sqfstar
    ),
    Tool("depmod", "builds the tables of kernel modules", ("kmod",) * 5),
    Tool("mke2fs", "creates data disks", ("e2fsprogs",) * 5),
    Tool(
        "Debian's archive keys",
        "verify the packages of images",
        ("debian-archive-keyring", "debian-keyring", "debian-archive-keyring", None, None),
        paths=(
            "/usr/share/keyrings/debian-archive-keyring.gpg",
            "/usr/share/keyrings/debian-archive-bookworm-stable.gpg",
        ),
        name="archive-keys",
    ),
    Tool("openssl", "verifies signatures of images", ("openssl",) * 5, required=False),
    Tool(
        "ssh",
        "creates VMs' host keys and logs in to them",
        ("openssh-client", "openssh-clients", "openssh", "openssh-clients", "openssh-client"),
        others=("ssh-keygen",),
    ),
)
"""Tools that banger itself needs."""

BUILD: tuple[Tool, ...] = (
    Tool("make", "runs the entry points", ("make",) * 5),
    Tool("gcc", "builds the agent", ("gcc",) * 5),
    Tool(
        "musl-gcc",
        "links the agent without the host's C library",
        ("musl-tools", "musl-gcc", "musl", None, "musl-dev"),
        required=False,  # the ziglang wheel does as well
    ),
    Tool(
        "ensurepip",
        "makes the virtual environment",
        ("python3-venv", "python3-pip", "python", "python3-pip", "py3-pip"),
    ),
    Tool(
        "CA certificates",
        "verify downloads",
        ("ca-certificates",) * 5,
        paths=(
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/pki/tls/certs/ca-bundle.crt",
            "/etc/ssl/ca-bundle.pem",
        ),
    ),
)
"""Further tools, for building a checkout."""

TESTS: tuple[Tool, ...] = (
    Tool(
        "ps",
        "inspects processes in tests",
        ("procps", "procps-ng", "procps-ng", "procps", "procps"),
        required=False,
    ),
    Tool("curl", "connects to links and ports in tests", ("curl",) * 5, required=False),
    Tool("tmux", "is the terminal of the progress tests", ("tmux",) * 5, required=False),
    Tool("rsync", "copies by ssh", ("rsync",) * 5, required=False),
    Tool(
        "sshfs",
        "mounts directories of VMs in tests",
        ("sshfs", "fuse-sshfs", "sshfs", "sshfs", "sshfs"),
        required=False,
    ),
    Tool(
        "a browser",
        "follows links in tests",
        ("chromium-headless-shell", "chromium", "chromium", "chromium", "chromium"),
        required=False,
        paths=("/usr/bin/chromium*", "/usr/bin/google-chrome*"),
    ),
    Tool("zsh", "is a shell whose completion is tested", ("zsh",) * 5, required=False),
    Tool("fish", "is a shell whose completion is tested", ("fish",) * 5, required=False),
    Tool("skopeo", "fills the registries of tests", ("skopeo",) * 5, required=False),
    Tool("umoci", "merges layers for comparison in tests", ("umoci",) * 5, required=False),
    Tool(
        "busybox",
        "is the program of small test images",
        ("busybox-static", "busybox", "busybox", "busybox-static", "busybox-static"),
        required=False,
    ),
    Tool(
        "dig",
        "queries the DNS server of VMs in tests",
        ("bind9-dnsutils", "bind-utils", "bind", "bind-utils", "bind-tools"),
        required=False,
    ),
    Tool(
        "dnsmasq",
        "resolves names of VMs in tests",
        ("dnsmasq-base", "dnsmasq", "dnsmasq", "dnsmasq", "dnsmasq"),
        required=False,
    ),
    Tool("clang", "builds the agent with sanitizers and fuzzers", ("clang",) * 5, required=False),
    Tool(
        "clang's run-time library",
        "is linked into fuzzers",
        ("libclang-rt-dev", "compiler-rt", "compiler-rt", None, "compiler-rt"),
        required=False,
        paths=("/usr/lib/llvm-*/lib/clang/*/lib/linux", "/usr/lib*/clang/*/lib"),
    ),
)
"""Further tools, for testing a checkout."""


KERNEL_BUILD: tuple[Tool, ...] = (
    Tool("make", "builds kernels", ("make",) * 5),
    Tool("gcc", "compiles kernels", ("gcc",) * 5),
    Tool("ld", "links kernels", ("binutils",) * 5, others=("strip",)),
    Tool("flex", "reads the kernel's configuration", ("flex",) * 5),
    Tool("bison", "reads the kernel's configuration", ("bison",) * 5),
    Tool("bc", "computes a kernel's constants", ("bc",) * 5),
    Tool("perl", "runs scripts of a kernel build", ("perl",) * 5),
    Tool("tar", "unpacks the kernel's source", ("tar",) * 5),
    Tool("xz", "unpacks the kernel's source", ("xz-utils", "xz", "xz", "xz", "xz")),
    Tool(
        "libelf's headers",
        "let the build check its objects",
        ("libelf-dev", "elfutils-libelf-devel", "libelf", "libelf-devel", "elfutils-dev"),
        paths=("/usr/include/gelf.h",),
    ),
    Tool(
        "the C library's headers",
        "are needed by the kernel build's own programs",
        ("libc6-dev", "glibc-devel", "glibc", "glibc-devel", "musl-dev"),
        paths=("/usr/include/stdio.h",),
    ),
)
"""Further tools, for `kernel build`."""


def find_package_manager(find: Callable[[str], str | None] = find_tool) -> PackageManager | None:
    """Return the package manager of this distribution, or None if unknown."""
    return next((manager for manager in PackageManager if find(manager)), None)


def find_missing(
    tools: Iterable[Tool], find: Callable[[str], str | None] = find_tool
) -> tuple[Tool, ...]:
    """Return the tools that this host lacks, in the order given."""
    return tuple(tool for tool in tools if name_missing(tool, find))


def name_missing(tool: Tool, find: Callable[[str], str | None] = find_tool) -> tuple[str, ...]:
    """Return the names of a tool's parts that this host lacks; empty if the tool is complete."""
    if tool.paths:
        there = any(any(Path("/").glob(path.lstrip("/"))) for path in tool.paths)
        return () if there else (tool.program,)
    # ensurepip is a module, which Debian's python3 lacks until python3-venv is installed.
    if tool.program == "ensurepip":
        return () if find_spec("ensurepip") else (tool.program,)
    return tuple(name for name in (tool.program, *tool.others) if find(name) is None)


def is_replaced(tool: Tool, find: Callable[[str], str | None] = find_tool) -> bool:
    """Tell whether another program stands in for this tool."""
    return bool(tool.instead) and find(tool.instead) is not None


def find_providers(programs: Iterable[str]) -> tuple[Tool, ...]:
    """Return the tools that provide these programs."""
    wanted = set(programs)
    return tuple(tool for tool in RUNTIME + KERNEL_BUILD if wanted & {tool.program, *tool.others})


def plan_install(
    manager: PackageManager, tools: Sequence[Tool], *, as_root: bool
) -> tuple[tuple[str, ...], ...]:
    """Return the commands that install the packages of `tools`; empty if there are none."""
    packages = sorted({name for tool in tools if (name := tool.package(manager))})
    if not packages:
        return ()
    prefix = () if as_root else ("sudo",)
    *before, last = _INSTALL[manager]
    return tuple((*prefix, *command) for command in (*before, (*last, *packages)))


def format_install(commands: Sequence[Sequence[str]]) -> str:
    """Return the commands as one line for a shell."""
    return " && ".join(shlex.join(command) for command in commands)
