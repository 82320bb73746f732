"""Names and values for completion: the kind of each argument, and the source of each kind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from banger.cli.app import values
from banger.cli.app.context import Context
from banger.cli.terminal.output import format_bytes
from banger.errors import BangerError
from banger.words import driver_words, network_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Candidate = tuple[str, str]
"""A word and its description."""

CHOICES = {
    "driver": driver_words(),
    "network": network_words(),
    "restart": values.RESTART_POLICIES,
    "state": tuple(f"state={state}" for state in values.VM_STATES),
    "shell": ("bash", "zsh", "fish", "install"),
}

_BY_COMMAND = {
    ("kernel pull", "name"): "available",
    ("image build", "name"): "catalog",
    ("vm snapshot restore", "name"): "snapshots",
    ("vm snapshot delete", "names"): "snapshots",
    ("kernel import", "kernel"): "files",
    ("image pull", "ref"): "images",
}
_BY_METAVAR = {
    "VM": "vms",
    "IMAGE": "images",
    "KERNEL": "kernels",
    "SECRET": "secrets",
    "SESSION": "sessions",
    "TEMPLATE": "templates",
    "ID": "operations",
    "FILE": "files",
    "RECIPE": "files",
    "SRC": "files",
    "DST": "files",
}
_BY_DEST = {
    "path": "dirs",
    "modules": "dirs",
    "source": "dirs",
    "image": "images",
    "kernel": "kernels",
    "driver": "driver",
    "network": "network",
    "restart": "restart",
    "filter": "state",
    "shell": "shell",
    "install_for": "shell",
}


def find_kind(command: str, dest: str, metavar: str) -> str:
    """Return an argument's kind: a key of `CHOICES` or `SOURCES`, `files`, `dirs` or `none`."""
    kind = _BY_COMMAND.get((command, dest)) or _BY_METAVAR.get(metavar)
    return kind or _BY_DEST.get(dest, "none")


def _ask(
    context: Context, method: str, params: dict[str, object] | None = None
) -> list[dict[str, Any]]:
    """Return the daemon's list; empty if the daemon does not run or refuses."""
    with contextlib.suppress(BangerError), context.client(autostart=False) as client:
        found = client.request(method, params or {})
        assert isinstance(found, list)
        return found
    return []


def _vms(context: Context, _: list[str]) -> list[Candidate]:
    return [(vm["name"], f"{vm['state']}, {vm['image']}") for vm in _ask(context, "vm.list")]


def _images(context: Context, _: list[str]) -> list[Candidate]:
    images = _ask(context, "image.list")
    here = {name: format_bytes(image["size_bytes"]) for image in images for name in image["names"]}
    known = {name: text for name, text in _catalog(context, []) if name not in here}
    return [*here.items(), *known.items()]


def _catalog(context: Context, _: list[str]) -> list[Candidate]:
    return [(image["name"], image["summary"]) for image in _ask(context, "image.catalog")]


def _kernels(context: Context, _: list[str]) -> list[Candidate]:
    kernels = _ask(context, "kernel.list")
    return [(kernel["name"], kernel["version"]) for kernel in kernels if kernel["current"]]


def _available(context: Context, _: list[str]) -> list[Candidate]:
    return [(kernel["name"], kernel["package"]) for kernel in _ask(context, "kernel.available")]


def _templates(context: Context, _: list[str]) -> list[Candidate]:
    return [(one["key"][:12], one["image"]) for one in _ask(context, "template.list")]


def _operations(context: Context, _: list[str]) -> list[Candidate]:
    return [(one["id"], one["method"]) for one in _ask(context, "operations.list")]


def _snapshots(context: Context, own: list[str]) -> list[Candidate]:
    """Return the snapshots of the first VM on the command line."""
    ref = next((word for word in own if not word.startswith("-")), "")
    return [
        (one["name"], format_bytes(one["size_bytes"]))
        for one in _ask(context, "snapshot.list", {"ref": ref})
    ]


def _sessions(context: Context, own: list[str]) -> list[Candidate]:
    """Return the sessions of the first VM on the command line."""
    ref = next((word for word in own if not word.startswith("-")), "")
    found = _ask(context, "session.list", {"ref": ref})
    return [(one["name"], " ".join(one["argv"])[:60]) for one in found]


def _secrets(context: Context, _: list[str]) -> list[Candidate]:
    return [(one["name"], ", ".join(one["hosts"])) for one in _ask(context, "secret.list")]


SOURCES: dict[str, Callable[[Context, list[str]], list[Candidate]]] = {
    "vms": _vms,
    "images": _images,
    "catalog": _catalog,
    "kernels": _kernels,
    "available": _available,
    "templates": _templates,
    "operations": _operations,
    "snapshots": _snapshots,
    "sessions": _sessions,
    "secrets": _secrets,
}
