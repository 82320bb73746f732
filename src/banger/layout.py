"""Every path and file name that banger writes, and nothing else.

Five roots, from the XDG variables (product contract: config, data, state,
cache, sockets). `docs/architecture.md` lists the files; a test compares.
Pure: nothing here touches the disk. Standard library only, and little of it:
the command line loads this module on every call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SUN_PATH_MAX = 107
"""Longest usable Unix socket path in bytes (Linux: 108 with the final NUL)."""


class Layout:
    """Where everything of one user lives."""

    def __init__(
        self, *, config: Path, data: Path, state: Path, cache: Path, runtime: Path
    ) -> None:
        self.config = config
        self.data = data
        self.state = state
        self.cache = cache
        self.runtime = runtime

    # --- single files ---

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def database(self) -> Path:
        return self.state / "banger.db"

    @property
    def daemon_socket(self) -> Path:
        return self.runtime / "bangerd.sock"

    @property
    def daemon_lock(self) -> Path:
        return self.state / "bangerd.lock"

    @property
    def daemon_log(self) -> Path:
        return self.state / "logs" / "bangerd.log"

    @property
    def daemon_output(self) -> Path:
        """What a daemon says before it has a log, or when the interpreter itself fails."""
        return self.state / "logs" / "bangerd.out"

    @property
    def reports(self) -> Path:
        return self.state / "reports"

    @property
    def scratch(self) -> Path:
        """What one request needs while it runs; emptied when a daemon starts."""
        return self.state / "scratch"

    # --- images and kernels: published whole, by rename, keyed by digest or name ---

    @property
    def images(self) -> Path:
        return self.data / "images"

    @property
    def kernels(self) -> Path:
        return self.data / "kernels"

    @property
    def staging(self) -> Path:
        """Half-made artefacts; on the same file system as what they become."""
        return self.data / "staging"

    @property
    def templates(self) -> Path:
        return self.data / "templates"

    def template_dir(self, key: str) -> Path:
        """`memory`, `state`, `data.img`, `manifest.json`."""
        return self.templates / key

    def template_staging(self, vm_id: str) -> Path:
        """What a VM that is to become a template leaves behind."""
        return self.staging / f"template.{vm_id}"

    # --- one VM ---

    @property
    def vms(self) -> Path:
        return self.state / "vms"

    def vm_dir(self, vm_id: str) -> Path:
        return self.vms / vm_id

    def vm_data_disk(self, vm_id: str) -> Path:
        return self.vm_dir(vm_id) / "data.img"

    def vm_host_key(self, vm_id: str) -> Path:
        """The guest's ssh host key; the public half has the suffix `.pub`."""
        return self.vm_dir(vm_id) / "ssh_host_ed25519_key"

    def vm_console_log(self, vm_id: str) -> Path:
        return self.vm_dir(vm_id) / "console.log"

    def vm_vmm_log(self, vm_id: str) -> Path:
        return self.vm_dir(vm_id) / "vmm.log"

    def vm_network_log(self, vm_id: str) -> Path:
        return self.vm_dir(vm_id) / "network.log"

    def vm_runtime(self, vm_id: str) -> Path:
        return self.runtime / "vms" / vm_id

    def vm_agent_socket(self, vm_id: str) -> Path:
        return self.vm_runtime(vm_id) / "agent.sock"

    def vm_control_socket(self, vm_id: str) -> Path:
        return self.vm_runtime(vm_id) / "qmp.sock"

    def vm_network_socket(self, vm_id: str) -> Path:
        return self.vm_runtime(vm_id) / "net.sock"


def layout_from_environment(environ: Mapping[str, str], *, uid: int | None = None) -> Layout:
    """Return the layout for `environ` (XDG variables, HOME).

    Without XDG_RUNTIME_DIR the sockets are in /run/user/UID if that exists for
    this user, else below the state directory.
    """
    uid = os.getuid() if uid is None else uid
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    state = _xdg(environ, "XDG_STATE_HOME", home / ".local/state") / "banger"
    return Layout(
        config=_xdg(environ, "XDG_CONFIG_HOME", home / ".config") / "banger",
        data=_xdg(environ, "XDG_DATA_HOME", home / ".local/share") / "banger",
        state=state,
        cache=_xdg(environ, "XDG_CACHE_HOME", home / ".cache") / "banger",
        runtime=_runtime(environ, uid, state),
    )


def _xdg(environ: Mapping[str, str], name: str, default: Path) -> Path:
    """Return the XDG directory; a relative value is ignored, as the XDG text says."""
    value = environ.get(name, "")
    return Path(value) if value.startswith("/") else default


def _runtime(environ: Mapping[str, str], uid: int, state: Path) -> Path:
    value = environ.get("XDG_RUNTIME_DIR", "")
    if value.startswith("/"):
        return Path(value) / "banger"
    conventional = Path(f"/run/user/{uid}")
    if os.access(conventional, os.W_OK) and conventional.stat().st_uid == uid:
        return conventional / "banger"
    return state / "run"
