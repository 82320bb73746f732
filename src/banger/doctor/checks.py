"""`banger doctor`: every fact about this host that decides whether banger works here.

All of them at once (hazard H8): a check that fails never hides the next one.
Changes nothing, makes no directory, starts no daemon (hazard B8). Takes no locks.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from banger.config import decide_settings, load_settings, probe_host_size
from banger.doctor.acceleration import probe_acceleration
from banger.doctor.limits import probe_limits
from banger.doctor.networks import probe_networks
from banger.doctor.programs import Check, CheckState, probe_tools
from banger.doctor.taps import probe_taps
from banger.errors import ConfigInvalid, RuntimeDirectoryTaken
from banger.host import subids
from banger.host.lockholder import is_held, is_stopped, peer_pid, read_holder
from banger.host.memory import read_available_mib
from banger.host.packages import find_package_manager, format_install
from banger.host.resolver import plan_removal, probe_resolver
from banger.host.runtimedir import require_own_daemon
from banger.layout import SUN_PATH_MAX, Layout
from banger.settings import Settings
from banger.sizes import format_size

DISK_WARN_MIB = 10 * 1024
DISK_FAIL_MIB = 3 * 1024
"""The default image, its packages while it is built, and one VM."""
CONNECT_DEADLINE_S = 2.0


def probe_host(layout: Layout, environ: Mapping[str, str]) -> tuple[Check, ...]:
    """Return all checks, in the order in which a person would ask."""
    return tuple(_iterate_checks(layout, environ))


def is_ready(checks: tuple[Check, ...]) -> bool:
    """Tell whether nothing that banger requires is missing."""
    return all(check.state is not CheckState.FAIL for check in checks)


def _iterate_checks(layout: Layout, environ: Mapping[str, str]) -> Iterator[Check]:
    settings, config = _probe_config(layout, environ)
    yield _probe_python()
    yield _probe_user()
    probed = settings or decide_settings({}, layout.config_file, {})
    yield from probe_tools(find_package_manager(), probed)
    yield probe_subordinate_ids(getpass.getuser(), os.getuid())
    yield from probe_acceleration(probed)
    yield from probe_taps(probed)
    yield from probe_networks(probed)
    yield _probe_memory(probed)
    yield probe_limits(layout.runtime.parent)
    yield from _probe_disks(layout)
    yield probe_runtime_dir(layout)
    yield probe_names()
    yield config
    yield probe_daemon(layout)


def _probe_config(layout: Layout, environ: Mapping[str, str]) -> tuple[Settings | None, Check]:
    try:
        settings = load_settings(layout.config_file, environ)
    except ConfigInvalid as error:
        return None, Check("config", CheckState.FAIL, error.message, error.hint)
    sizes = (
        f"{key.partition('.')[2]} {value} ({origin})"
        for key, value, origin in settings.items()
        if key.startswith("vm_defaults.")
    )
    return settings, Check("config", CheckState.OK, f"A VM gets {', '.join(sizes)}.")


def _probe_python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check("python", CheckState.OK, f"Python {version} at {sys.executable}.")


def _probe_user() -> Check:
    if os.geteuid() != 0:
        return Check("user", CheckState.OK, f"You are {getpass.getuser()}, an ordinary user.")
    return Check(
        "user",
        CheckState.WARN,
        "You are root, and VMs of root have no network; run banger as an ordinary user.",
    )


def probe_subordinate_ids(user: str, uid: int, *, files: tuple[Path, ...] = subids.FILES) -> Check:
    """Tell whether the user has ranges of ids of his own, in which image builds are root."""
    if uid == 0:
        return Check("subuid", CheckState.OK, "Root needs no subordinate ids.")
    lacking = subids.find_lacking(user, uid, files=files)
    if not lacking:
        return Check("subuid", CheckState.OK, f"{user} has subordinate user and group ids.")
    names = " and ".join(str(path) for path in lacking)
    fact = f"{user} has fewer than {subids.COUNT} subordinate ids in {names}."
    grant = format_install(subids.plan_grant(user, as_root=False, files=files))
    return Check("subuid", CheckState.FAIL, fact, grant)


def probe_names(root: Path = Path("/")) -> Check:
    """Tell whether this host's resolver is told to ask banger for names under `vm`."""
    for path, _ in plan_removal(root):
        return Check(
            "names", CheckState.OK, f"This host's resolver forwards NAME.vm to banger ({path})."
        )
    resolver = probe_resolver(root)
    if resolver is None:
        fact = "This host's resolver cannot forward NAME.vm; links, ssh and SOCKS work without it."
        return Check("names", CheckState.OK, fact)
    fact = f"{resolver} does not forward NAME.vm; links, ssh and SOCKS work without it."
    return Check("names", CheckState.OK, fact, "banger setup --dns")


def _probe_memory(settings: Settings) -> Check:
    total = probe_host_size().memory_mib
    free = read_available_mib()
    wanted = settings.vm_defaults.memory_mib
    fact = (
        f"{format_size(free)} of {format_size(total)} of memory are free; "
        f"a VM gets {format_size(wanted)}."
    )
    return Check("memory", CheckState.WARN if free < wanted else CheckState.OK, fact)


def _probe_disks(layout: Layout) -> Iterator[Check]:
    """Yield a check for each file system that grows with use, once each."""
    seen: set[int] = set()
    for path in (layout.data, layout.state):
        existing = _nearest_existing(path)
        device = existing.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield _probe_space(path, shutil.disk_usage(existing).free // 2**20)


def _probe_space(path: Path, free_mib: int) -> Check:
    fact = f"{format_size(free_mib)} are free for {path}."
    if free_mib >= DISK_WARN_MIB:
        return Check("disk", CheckState.OK, fact)
    state = CheckState.FAIL if free_mib < DISK_FAIL_MIB else CheckState.WARN
    return Check("disk", state, fact, f"df -h {_nearest_existing(path)}")


def _nearest_existing(path: Path) -> Path:
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())


def probe_runtime_dir(layout: Layout) -> Check:
    """Tell whether sockets will be private (hazard G1) and their paths short enough."""
    longest = len(os.fsencode(layout.vm_control_socket("0" * 12)))
    if longest > SUN_PATH_MAX:
        fact = (
            f"Socket paths below {layout.runtime} would be {longest} bytes long; the limit is "
            f"{SUN_PATH_MAX}."
        )
        return Check("runtime", CheckState.FAIL, fact, "export XDG_RUNTIME_DIR=/run/user/$(id -u)")
    existing = _nearest_existing(layout.runtime)
    status = existing.stat()
    if existing != layout.runtime:
        usable = os.access(existing, os.W_OK | os.X_OK)
        fact = f"{layout.runtime} will be created" if usable else f"{existing} is not writable"
        return Check("runtime", CheckState.OK if usable else CheckState.FAIL, f"{fact}.")
    if status.st_uid != os.getuid():
        fact = f"{layout.runtime} belongs to another user (uid {status.st_uid})."
        return Check("runtime", CheckState.FAIL, fact)
    if stat.S_IMODE(status.st_mode) & 0o077:
        fact = f"{layout.runtime} is open to other users."
        return Check("runtime", CheckState.FAIL, fact, f"chmod 700 {layout.runtime}")
    return Check("runtime", CheckState.OK, f"{layout.runtime} is private.")


def probe_daemon(layout: Layout) -> Check:
    """Tell whether a daemon listens; only by connecting to its socket."""
    path = layout.daemon_socket
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(CONNECT_DEADLINE_S)
        try:
            connection.connect(os.fspath(path))
            pid = peer_pid(connection)
        except FileNotFoundError:
            fact = "The daemon is not running; the first command that needs it starts it."
            return _find_elsewhere(layout) or Check("daemon", CheckState.OK, fact)
        except ConnectionRefusedError:
            fact = "The daemon has ended and left its socket; the next command starts a new one."
            return Check("daemon", CheckState.OK, fact)
        except OSError as error:
            fact = f"The daemon's socket {path} cannot be reached: {error.strerror or error}."
            return Check("daemon", CheckState.FAIL, fact, "banger daemon logs")
    try:
        require_own_daemon(layout, os.fspath(path))
    except RuntimeDirectoryTaken as error:
        return _find_elsewhere(layout) or Check(
            "daemon", CheckState.FAIL, error.message, error.hint
        )
    if is_stopped(pid):
        fact = f"The daemon (pid {pid}) is stopped (SIGSTOP) and does not answer."
        return Check("daemon", CheckState.FAIL, fact, "banger daemon restart")
    return Check("daemon", CheckState.OK, f"The daemon listens on {path}.")


def _find_elsewhere(layout: Layout) -> Check | None:
    """Return the check of a daemon that listens on another path; None if there is no daemon."""
    if not is_held(layout):
        return None
    pid, where = read_holder(layout)
    fact = f"The daemon (pid {pid}) listens on {where}; commands find it there."
    return Check("daemon", CheckState.OK, fact)
