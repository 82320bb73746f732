"""Callers' options, and the parameters of the API that they become. Pure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from banger.errors import InvalidRequest
from banger.sizes import parse_size_mib

if TYPE_CHECKING:
    from banger.api.documents import PortSpec, SessionStart, VmCreate, VmExec, WorkspacePrepare


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
    secrets: list[str]
    """Names of secrets that requests of the VM carry."""


class CommandOptions(TypedDict, total=False):
    """How a command runs."""

    env: dict[str, str]
    cwd: str
    """Default: the workspace, else the user's home."""
    user: str
    """USER or USER:GROUP; default: root."""


class RunOptions(CommandOptions, total=False):
    """How a command runs, and how long."""

    timeout: float
    """Seconds after which the command is killed."""


class EventOptions(TypedDict, total=False):
    """Which events of VMs are sent."""

    ref: str
    """Only this VM, until it is deleted."""
    kinds: list[str]
    states: list[str]
    """Only events of VMs that come to one of these states."""
    since: float
    """Begin with those since then (seconds of the Unix epoch) that the daemon still knows."""
    follow: bool
    """False: end with the newest that the daemon knows."""


class Event(TypedDict):
    """What happened to a VM; members that do not apply are None."""

    kind: Literal["created", "state", "changed", "deleted", "notice", "missed"]
    at: float
    """Seconds of the Unix epoch."""
    vm_id: str | None
    name: str | None
    state: str | None
    text: str | None
    lost: int | None
    """How many events were `missed`, if that is known."""


class Change(TypedDict):
    """What happened below a path in a VM."""

    kind: Literal["created", "modified", "deleted", "missed"]
    """`missed`: changes were lost; look at everything again."""
    path: str
    """Absolute; of `missed` the path that is watched."""


def plan_vm(options: VmOptions, *, ephemeral: bool) -> VmCreate:
    """Return the parameters of `vm.create`.

    Raises:
        InvalidRequest: a size is none.
    """
    params: VmCreate = {"ephemeral": ephemeral}
    for name in ("name", "image", "vcpu", "network", "driver", "env", "labels", "ports", "secrets"):
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
    params: VmExec = {"ref": ref, "argv": list_words(argv), "stdin": stdin}
    if "timeout" in options:
        params["timeout_s"] = options["timeout"]
    for name in _SAME:
        if name in options:
            params[name] = options[name]
    return params


def plan_session(
    ref: str,
    argv: list[str],
    *,
    name: str | None,
    stdin: bool,
    terminal: tuple[int, int] | None,
    **options: Unpack[CommandOptions],
) -> SessionStart:
    """Return the parameters of `session.start`."""
    params: SessionStart = {"ref": ref, "argv": list_words(argv), "name": name, "stdin": stdin}
    if terminal is not None:
        params["terminal"] = {"rows": terminal[0], "columns": terminal[1]}
    for each in _SAME:
        if each in options:
            params[each] = options[each]
    return params


def list_words(argv: list[str]) -> list[str]:
    """Return a command as the API has it.

    Raises:
        InvalidRequest: it is no list.
    """
    if isinstance(argv, str):
        raise InvalidRequest("A command is a list of words.", hint='vm.run(["ls", "-l"])')
    return [os.fspath(word) for word in argv]


_SAME: tuple[Literal["env"], Literal["cwd"], Literal["user"]] = ("env", "cwd", "user")


def _parse_size(size: str | int, what: str) -> int:
    mib = parse_size_mib(str(size))
    if mib is None:
        raise InvalidRequest(f"{size!r} is not a size of {what}.", hint="such as 2G")
    return mib
