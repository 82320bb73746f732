"""The sandbox around QEMU: bubblewrap's arguments. Pure.

Hazard E5: a guest that breaks out of QEMU finds itself in a process without
privileges, in an empty network, IPC and host name namespace, that sees the
distribution's /usr, the VM's own files, and nothing else of the host: no home, no
runtime directory, no /proc, no socket but those that it inherited.

bubblewrap stays as the parent of the program and ends with it; there is no
process namespace, so that the pid it reports is the program's own everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from banger.model.vm import Accel
from banger.vmm.driver import MachineConfig
from banger.vmm.qemu.memory_preload import preload_variables

NAMESPACES = (
    "--unshare-user",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup",
)

PRELOAD = "/banger-memory-preload.so"
"""Where the sandbox shows it: the dynamic linker takes no path with a space or a colon."""


@dataclass(frozen=True, kw_only=True)
class SandboxFacts:
    """A bubblewrap that was seen to work, and the shape of this host's system directories."""

    binary: str
    shown: tuple[str, ...]
    """System directories, and QEMU itself if it is in none of them, to show as they are."""
    links: tuple[tuple[str, str], ...]
    """Symbolic links of the root directory: target, name."""


def plan_sandbox(
    facts: SandboxFacts, argv: Sequence[str], *, config: MachineConfig, preload: Path | None
) -> list[str]:
    """Return the command that runs QEMU with nothing but its own files.

    `preload` is the library for a machine whose memory begins as a file.
    """
    files = config.shared
    shown = _files("--ro-bind", files.root)
    if files.modules is not None:
        shown += _files("--ro-bind", files.modules)
    shown += _files("--bind", config.data)
    if config.memory is None:
        shown += _files("--ro-bind", files.bzimage, files.initramfs)
    elif preload is not None:
        shown += _files("--ro-bind", config.memory)
        shown += ["--ro-bind", os.fspath(preload), PRELOAD]
        for name, value in preload_variables(PRELOAD, config.memory).items():
            shown += ["--setenv", name, value]
    if config.accel is Accel.KVM:
        shown += ["--dev-bind", "/dev/kvm", "/dev/kvm"]
    return plan_sandboxed(facts, argv, shown=shown)


def plan_sandboxed(
    facts: SandboxFacts, argv: Sequence[str], *, shown: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs `argv` with the system directories and `shown`."""
    system = [word for path in facts.shown for word in ("--ro-bind", path, path)]
    links = [word for target, name in facts.links for word in ("--symlink", target, name)]
    return [facts.binary, *NAMESPACES, *system, *links, "--dev", "/dev", *shown, "--", *argv]


def with_info(command: Sequence[str], descriptor: int) -> list[str]:
    """Return a sandbox command that also reports the program's pid to `descriptor`."""
    return [command[0], "--info-fd", str(descriptor), *command[1:]]


def _files(option: str, *paths: os.PathLike[str]) -> list[str]:
    return [word for path in map(os.fspath, paths) for word in (option, path, path)]
