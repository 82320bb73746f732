"""Every path and file name that banger writes, and nothing else.

Five roots, from the XDG variables (product contract: config, data, state,
cache, sockets). `docs/architecture.md` lists the files; a test compares.
Touches the disk only to find the runtime directory. Standard library only, and
little of it: the command line loads this module on every call. Most calls need only
two names as strings, so `pathlib`, a tenth of the time of `vm list`, is imported when
a `Path` is first needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

SUN_PATH_MAX = 107
"""Longest usable path of a Unix socket in bytes (Linux: 108 with the final NUL)."""
STATE_LINK = "state"
"""Name of `Layout.state_link` beside the daemon's socket."""


class Layout:
    """The paths of one user's files."""

    def __init__(
        self,
        *,
        config: str | Path,
        data: str | Path,
        state: str | Path,
        cache: str | Path,
        runtime: str | Path,
    ) -> None:
        self._config = os.fspath(config)
        self._data = os.fspath(data)
        self._state = os.fspath(state)
        self._cache = os.fspath(cache)
        self._runtime = os.fspath(runtime)

    # --- the roots ---

    @property
    def config(self) -> Path:
        return _path(self._config)

    @property
    def data(self) -> Path:
        return _path(self._data)

    @property
    def state(self) -> Path:
        return _path(self._state)

    @property
    def cache(self) -> Path:
        return _path(self._cache)

    @property
    def runtime(self) -> Path:
        return _path(self._runtime)

    # --- names that every command needs, without `pathlib` ---

    @property
    def state_name(self) -> str:
        return self._state

    @property
    def daemon_socket_name(self) -> str:
        return f"{self._runtime}/bangerd.sock"

    @property
    def database_name(self) -> str:
        return f"{self._state}/banger.db"

    @property
    def ssh_socket_name(self) -> str:
        return f"{self._runtime}/ssh.sock"

    @property
    def ssh_known_hosts_name(self) -> str:
        return f"{self._state}/ssh/known_hosts"

    # --- single files ---

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def state_link(self) -> Path:
        """Link to the state directory of the installation that the runtime directory serves."""
        return self.runtime / STATE_LINK

    @property
    def database(self) -> Path:
        return _path(self.database_name)

    @property
    def daemon_socket(self) -> Path:
        return _path(self.daemon_socket_name)

    @property
    def daemon_lock(self) -> Path:
        return self.state / "bangerd.lock"

    @property
    def daemon_log(self) -> Path:
        return self.state / "logs" / "bangerd.log"

    @property
    def daemon_output(self) -> Path:
        """A daemon's output before it has a log, or when the interpreter itself fails."""
        return self.state / "logs" / "bangerd.out"

    @property
    def ssh_output(self) -> Path:
        """What the ssh front says."""
        return self.state / "logs" / "ssh.log"

    @property
    def ssh_socket(self) -> Path:
        return _path(self.ssh_socket_name)

    @property
    def ssh_host_key(self) -> Path:
        """Key of the ssh front, which clients know by `ssh_known_hosts`."""
        return self.state / "ssh" / "host_key"

    @property
    def ssh_known_hosts(self) -> Path:
        return _path(self.ssh_known_hosts_name)

    @property
    def ssh_config(self) -> Path:
        """Configuration of ssh clients, which the user's own may include."""
        return self.state / "ssh" / "config"

    @property
    def reports(self) -> Path:
        return self.state / "reports"

    @property
    def trusted(self) -> Path:
        """Digests of what the user has trusted of repositories, a file each."""
        return self.state / "trusted"

    @property
    def secrets(self) -> Path:
        """The user's secrets, a file each, and what the keys of VMs' authorities are made of."""
        return self.state / "secrets"

    @property
    def scratch(self) -> Path:
        """Temporary files of running requests; emptied when a daemon starts."""
        return self.state / "scratch"

    @property
    def workspaces(self) -> Path:
        """Bases of workspaces, which exports compare with; each directory appears by rename."""
        return self.state / "workspaces"

    # --- images and kernels: published by rename, keyed by digest or name ---

    @property
    def images(self) -> Path:
        return self.data / "images"

    @property
    def kernels(self) -> Path:
        return self.data / "kernels"

    @property
    def staging(self) -> Path:
        """Unfinished artefacts, on the same file system as the finished ones."""
        return self.data / "staging"

    @property
    def templates(self) -> Path:
        return self.data / "templates"

    def template_dir(self, key: str) -> Path:
        """`memory`, `state`, `data.img`, `manifest.json`."""
        return self.templates / key

    @property
    def snapshots(self) -> Path:
        return self.data / "snapshots"

    def snapshot_dir(self, snapshot_id: str) -> Path:
        """Has the same files as a template's directory."""
        return self.snapshots / snapshot_id

    def origin_dir(self, origin: str) -> Path:
        """The saved machine that a VM's memory comes from: the directory of a template or snapshot.

        `origin` is the path relative to the data directory.
        """
        return self.data / origin

    def saving_dir(self, owner: str) -> Path:
        """A machine that is being saved as a template or snapshot."""
        return self.staging / f"saving.{owner}"

    # --- blobs of registries: named by their digest, verified at each use ---

    @property
    def blobs(self) -> Path:
        return self.cache / "blobs"

    def blob(self, sha256: str) -> Path:
        return self.blobs / "sha256" / sha256

    @property
    def partial_blobs(self) -> Path:
        """Incomplete blobs of interrupted downloads, which a later pull resumes."""
        return self.blobs / "partial"

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

    def vm_saving(self, vm_id: str) -> Path:
        """What a VMM writes while it is saved, if it opens its files by their paths."""
        return self.vm_dir(vm_id) / "saving"

    def vm_network_log(self, vm_id: str) -> Path:
        return self.vm_dir(vm_id) / "network.log"

    def vm_runtime(self, vm_id: str) -> Path:
        return self.runtime / "vms" / vm_id

    def vm_agent_socket(self, vm_id: str) -> Path:
        return self.vm_runtime(vm_id) / "agent.sock"

    def vm_control_socket(self, vm_id: str) -> Path:
        return self.vm_runtime(vm_id) / "control.sock"

    @property
    def networks(self) -> Path:
        """Directories for the sockets of VMs' networks, which no VMM sees."""
        return self.runtime / "net"

    def vm_network_runtime(self, vm_id: str) -> Path:
        return self.networks / vm_id

    def vm_egress_socket(self, vm_id: str) -> Path:
        """Where the running egress filter takes its policy."""
        return self.vm_network_runtime(vm_id) / "egress.sock"

    def vm_console_input(self, vm_id: str) -> Path:
        return self.vm_runtime(vm_id) / "console.in"


def layout_from_environment(environ: Mapping[str, str], *, uid: int | None = None) -> Layout:
    """Return the layout for `environ` (XDG variables, HOME).

    Without XDG_RUNTIME_DIR the sockets are in /run/user/UID if this user has that
    directory, else below the state directory.
    """
    uid = os.getuid() if uid is None else uid
    home = environ.get("HOME") or os.path.expanduser("~")
    state = _xdg(environ, "XDG_STATE_HOME", f"{home}/.local/state")
    return Layout(
        config=_xdg(environ, "XDG_CONFIG_HOME", f"{home}/.config"),
        data=_xdg(environ, "XDG_DATA_HOME", f"{home}/.local/share"),
        state=state,
        cache=_xdg(environ, "XDG_CACHE_HOME", f"{home}/.cache"),
        runtime=_runtime(environ, uid, state),
    )


def _path(name: str) -> Path:
    from pathlib import Path

    return Path(name)


def _xdg(environ: Mapping[str, str], name: str, default: str) -> str:
    """Return banger's directory in an XDG directory; ignore a relative value, as XDG demands."""
    value = environ.get(name, "")
    return f"{value if value.startswith('/') else default}/banger"


def _runtime(environ: Mapping[str, str], uid: int, state: str) -> str:
    value = environ.get("XDG_RUNTIME_DIR", "")
    if value.startswith("/"):
        return f"{value}/banger"
    conventional = f"/run/user/{uid}"
    if os.access(conventional, os.W_OK) and os.stat(conventional).st_uid == uid:
        return f"{conventional}/banger"
    return f"{state}/run"
