"""What callers may ask for, and the parameters of the API that it becomes. Pure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from banger.errors import InvalidRequest
from banger.sizes import parse_size_mib

if TYPE_CHECKING:
    from banger.api.documents import PortSpec, VmCreate, VmExec, WorkspacePrepare


class VmOptions(TypedDict, total=False):
    """The VM to make; defaults come from the configuration."""

    name: str
    image: str
    repo: str | os.PathLike[str]
    """Directory of a git repository on this host to copy in; commands start in the copy."""
    vcpu: int
    memory: str | int
    """MiB, or such as `2G`."""
    disk: str | int
    """MiB, or such as `20G`."""
    network: str
    driver: str
    ttl: float
    """Seconds after which the VM is stopped, or deleted if its block has made it."""
    env: dict[str, str]
    labels: dict[str, str]
    ports: list[PortSpec]


class RunOptions(TypedDict, total=False):
    """How a command runs."""

    timeout: float
    """Seconds after which the command is killed."""
    env: dict[str, str]
    cwd: str
    """Default: the workspace, else the user's home."""
    user: str
    """USER or USER:GROUP; default: root."""


def plan_vm(options: VmOptions, *, ephemeral: bool) -> VmCreate:
    """Return the parameters of `vm.create`.

    Raises:
        InvalidRequest: a size is none.
    """
    params: VmCreate = {"ephemeral": ephemeral}
    for name in ("name", "image", "vcpu", "network", "driver", "env", "labels", "ports"):
        if name in options:
            params[name] = options[name]
    if "ttl" in options:
        params["ttl_s"] = options["ttl"]
    if "memory" in options:
        params["memory_mib"] = _parse_size(options["memory"], "memory")
    if "disk" in options:
        params["disk_mib"] = _parse_size(options["disk"], "disk")
    return params


def plan_workspace(options: VmOptions, ref: str) -> WorkspacePrepare | None:
    """Return the parameters of `workspace.prepare`; None without a repository."""
    if "repo" not in options:
        return None
    return {"ref": ref, "path": os.path.abspath(os.fspath(options["repo"]))}


def plan_run(ref: str, argv: list[str], *, stdin: bool, **options: Unpack[RunOptions]) -> VmExec:
    """Return the parameters of `vm.exec`."""
    if isinstance(argv, str):
        raise InvalidRequest("A command is a list of words.", hint='vm.run(["ls", "-l"])')
    params: VmExec = {"ref": ref, "argv": [os.fspath(word) for word in argv], "stdin": stdin}
    if "timeout" in options:
        params["timeout_s"] = options["timeout"]
    for name in _SAME:
        if name in options:
            params[name] = options[name]
    return params


_SAME: tuple[Literal["env"], Literal["cwd"], Literal["user"]] = ("env", "cwd", "user")


def _parse_size(size: str | int, what: str) -> int:
    mib = parse_size_mib(str(size))
    if mib is None:
        raise InvalidRequest(f"{size!r} is not a size of {what}.", hint="such as 2G")
    return mib
